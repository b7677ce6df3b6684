-- Orders of unknown outcome, oldest first; with whether somebody who is alive works on them now.
SELECT o.*, now() AS now,
    coalesce(o.lease_until > now() AND o.owner <> $1 AND NOT worker_is_gone(o.owner), false)
        AS in_work
FROM orders o
WHERE o.state IN ('SENDING', 'UNKNOWN')
  AND ($2::text[] IS NULL OR o.request_id = ANY ($2))
ORDER BY o.received_at
