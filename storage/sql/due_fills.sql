-- Lend orders whose fills are to be read, so that two replicas never take the same one.
WITH due AS (
    SELECT request_id FROM orders
    WHERE fills_check_at <= now() - $3::interval
    ORDER BY fills_check_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
UPDATE orders o SET fills_check_at = now() + $2::interval
FROM due WHERE o.request_id = due.request_id
RETURNING o.*
