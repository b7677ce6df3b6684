-- Let nothing leave for a scope until a time; of two cool-downs the later end counts.
INSERT INTO rate_cooldowns AS c (scope, until, since, why)
VALUES ($1, clock_timestamp() + $2::interval, clock_timestamp(), $3)
ON CONFLICT (scope) DO UPDATE SET
    since = CASE WHEN c.until > clock_timestamp() THEN c.since ELSE excluded.since END,
    why = CASE WHEN c.until > excluded.until THEN c.why ELSE excluded.why END,
    until = greatest(c.until, excluded.until)
