-- Give rows back, to be taken again after a wait. A row that somebody took in the meantime is left
-- alone; one that is given back without an error was not tried, and the attempt does not count.
WITH input AS (
    SELECT * FROM unnest($1::bigint[], $2::integer[], $3::interval[], $4::text[])
        AS i (id, attempts, wait, error)
)
UPDATE outbox o SET
    available_at = now() + i.wait,
    attempts = CASE WHEN i.error IS NULL THEN o.attempts - 1 ELSE o.attempts END,
    last_error = coalesce(i.error, o.last_error)
FROM input i
WHERE o.id = i.id AND o.attempts = i.attempts
