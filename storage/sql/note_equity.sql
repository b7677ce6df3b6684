-- What an account is worth now. The first look of a day (UTC) is what the day started with; the first at
-- which there is anything, so that a deposit, or a look that found nothing, does not leave it without.
INSERT INTO equity_days AS e (exchange, account, day, currency, start, latest)
VALUES ($1, $2, (now() AT TIME ZONE 'UTC')::date, $3, $4, $4)
ON CONFLICT (exchange, account, day) DO UPDATE SET
    start = CASE WHEN e.start > 0 THEN e.start ELSE excluded.start END,
    latest = excluded.latest,
    read_at = now()
RETURNING start, latest, currency, tripped_at
