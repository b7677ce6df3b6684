-- Lend rows that are due, oldest first. Two workers never take the same row; the rows of one that
-- vanishes are due again when the lease ends.
WITH due AS (
    SELECT id FROM outbox
    WHERE kind = $1 AND available_at <= now() - $4::interval
    ORDER BY available_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
UPDATE outbox o SET available_at = now() + $3::interval, attempts = o.attempts + 1
FROM due WHERE o.id = due.id
RETURNING o.id, o.kind, o.request_id, o.attempts
