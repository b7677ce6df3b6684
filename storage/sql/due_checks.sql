-- Lend the reconciler orders that are due a look, so that two replicas never take the same one:
-- the next look is pushed back by the lease before the look is taken.
WITH due AS (
    SELECT request_id FROM orders
    WHERE check_at <= now()
    ORDER BY check_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
UPDATE orders o SET check_at = now() + $2::interval
FROM due WHERE o.request_id = due.request_id
RETURNING o.*, now() AS now
