-- Claim orders for an owner: new ones are born, known ones are taken over if they are open and
-- nobody else holds a lease. Rows that can't be claimed are not returned.
WITH input AS (
    SELECT * FROM unnest(
        $1::text[], $2::text[], $3::bytea[], $4::jsonb[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::numeric[], $10::numeric[], $11::timestamptz[], $12::timestamptz[]
    ) AS i (
        request_id, client_order_id, fingerprint, payload, exchange, account, symbol,
        action, quantity, price, queued_at, received_at
    )
), claimed AS (
    INSERT INTO orders AS o (
        request_id, client_order_id, fingerprint, payload, exchange, account, symbol,
        action, quantity, price, queued_at, received_at, owner, lease_until
    )
    SELECT i.*, $13::uuid, now() + $14::interval FROM input i
    ON CONFLICT (request_id) DO UPDATE SET
        owner = excluded.owner,
        fence = o.fence + 1,
        attempts = o.attempts + 1,
        lease_until = excluded.lease_until,
        updated_at = now(),
        check_at = NULL,
        dead_lettered_at = NULL
    WHERE o.fingerprint = excluded.fingerprint
      AND o.state IN ('RECEIVED', 'DEFERRED', 'SENDING', 'UNKNOWN')
      AND (o.lease_until IS NULL OR o.lease_until < now() OR o.owner = excluded.owner)
    RETURNING o.*
), event AS (
    INSERT INTO order_events (request_id, before_state, after_state, fence, attempt, owner)
    SELECT request_id, NULL, state, fence, attempts, owner FROM claimed WHERE fence = 1
)
SELECT *, now() AS now FROM claimed
