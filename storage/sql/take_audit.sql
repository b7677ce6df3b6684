-- Take the turn to look at an account, if it is time. What was ordered before this ledger was made is
-- none of its business; what an exchange shows late is looked at again.
INSERT INTO audits AS a (exchange, account, look, next_at)
VALUES ($1, $2, $3, now() + $4::interval)
ON CONFLICT (exchange, account, look) DO UPDATE SET next_at = excluded.next_at
WHERE a.next_at <= now()
RETURNING now() AS began, coalesce(
    a.seen_until - $5::interval,
    greatest((SELECT min(applied_at) FROM schema_migrations), now() - interval '1 h')
) AS since
