-- Lend the reconciler orders that are due a look, so that two replicas never take the same one:
-- the next look is pushed back by the lease before the look is taken. Where messages wait, those that
-- only have to be followed are left for a while; not one whose outcome is unknown, or whose position
-- may have to be protected yet.
WITH due AS (
    SELECT request_id FROM orders
    WHERE check_at <= now()
      AND (
          check_at <= now() - $3::interval OR state IN ('SENDING', 'UNKNOWN')
          OR take_profit IS NOT NULL OR stop_loss IS NOT NULL
      )
    ORDER BY check_at
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
UPDATE orders o SET check_at = now() + $2::interval
FROM due WHERE o.request_id = due.request_id
RETURNING o.*, now() AS now
