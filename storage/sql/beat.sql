-- A worker's sign of life; gives the number that its session lock has.
INSERT INTO workers AS w (owner, alive_until, has_session, gated)
VALUES ($1, now() + $2::interval, $3, $4::jsonb)
ON CONFLICT (owner) DO UPDATE SET
    alive_until = greatest(w.alive_until, excluded.alive_until),
    has_session = excluded.has_session,
    gated = excluded.gated
RETURNING number
