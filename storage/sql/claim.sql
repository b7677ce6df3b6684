-- Claim orders for an owner, and the lanes they go to: new orders are born, known ones are taken
-- over if they are open and nobody else who is alive holds a lease. An order whose lane another
-- owner has is left alone and the lane is asked for. No lock is waited for that another replica
-- may hold while it waits for one of ours. Gives every lane that is ours now, with the order that
-- was claimed for it or NULLs.
WITH input AS (
    SELECT * FROM unnest(
        $1::text[], $2::text[], $3::bytea[], $4::jsonb[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::numeric[], $10::numeric[], $11::timestamptz[], $12::timestamptz[]
    ) AS i (
        request_id, client_order_id, fingerprint, payload, exchange, account, symbol,
        action, quantity, price, queued_at, received_at
    )
), keys AS (
    SELECT DISTINCT exchange, account, symbol FROM input
), alive AS (
    INSERT INTO workers AS w (owner, alive_until)
    SELECT $13::uuid, now() + $15::interval
    WHERE NOT EXISTS (
        SELECT FROM workers WHERE owner = $13 AND alive_until > now() + 0.7 * $15::interval
    )
    ON CONFLICT (owner) DO UPDATE SET
        alive_until = greatest(w.alive_until, excluded.alive_until)
), mine AS (
    SELECT l.exchange, l.account, l.symbol, l.fence
    FROM keys k JOIN lanes l USING (exchange, account, symbol)
    WHERE l.owner = $13
), born AS (
    INSERT INTO lanes (exchange, account, symbol, owner)
    SELECT exchange, account, symbol, $13 FROM keys k
    WHERE NOT EXISTS (
        SELECT FROM lanes l
        WHERE l.exchange = k.exchange AND l.account = k.account AND l.symbol = k.symbol
    )
    ORDER BY 1, 2, 3
    ON CONFLICT DO NOTHING
    RETURNING exchange, account, symbol, fence
), others AS (
    SELECT l.exchange, l.account, l.symbol, f.free
    FROM keys k JOIN lanes l USING (exchange, account, symbol)
    CROSS JOIN LATERAL (
        SELECT l.owner IS NULL OR worker_is_gone(l.owner) AND NOT EXISTS (
            -- it may have committed an intent, and be about to send
            SELECT FROM orders o
            WHERE o.exchange = l.exchange AND o.account = l.account AND o.symbol = l.symbol
              AND o.state IN ('SENDING', 'UNKNOWN') AND (o.state = 'SENDING' OR o.code = 'INTERRUPTED')
              AND o.intended_at > now() - $17::interval
        ) AS free
    ) f
    WHERE l.owner IS DISTINCT FROM $13
      AND (l.wanted_by IS NULL OR l.wanted_by = $13 OR l.wanted_until < now())
      AND (f.free OR l.wanted_by IS NULL OR l.wanted_until < now() + 0.5 * $16::interval)
    FOR UPDATE OF l SKIP LOCKED
), taken AS (
    UPDATE lanes l SET
        owner = $13,
        fence = l.fence + 1,
        taken_at = now(),
        wanted_by = NULL,
        wanted_until = NULL
    FROM others o
    WHERE o.free
      AND l.exchange = o.exchange AND l.account = o.account AND l.symbol = o.symbol
    RETURNING l.exchange, l.account, l.symbol, l.fence
), asked AS (
    UPDATE lanes l SET wanted_by = $13, wanted_until = now() + $16::interval
    FROM others o
    WHERE NOT o.free
      AND l.exchange = o.exchange AND l.account = o.account AND l.symbol = o.symbol
), got AS (
    SELECT * FROM mine UNION ALL SELECT * FROM born UNION ALL SELECT * FROM taken
), claimed AS (
    INSERT INTO orders AS o (
        request_id, client_order_id, fingerprint, payload, exchange, account, symbol,
        action, quantity, price, queued_at, received_at, owner, lease_until
    )
    SELECT i.*, $13, now() + $14::interval
    FROM input i
    WHERE EXISTS (
        SELECT FROM got g
        WHERE g.exchange = i.exchange AND g.account = i.account AND g.symbol = i.symbol
    )
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
      AND (
          o.lease_until IS NULL OR o.lease_until < now() OR o.owner = excluded.owner
          OR worker_is_gone(o.owner)
      )
    RETURNING o.*
), event AS (
    INSERT INTO order_events (request_id, before_state, after_state, fence, attempt, owner)
    SELECT request_id, NULL, state, fence, attempts, owner FROM claimed WHERE fence = 1
)
SELECT
    c.*,
    now() AS now,
    g.exchange AS lane_exchange,
    g.account AS lane_account,
    g.symbol AS lane_symbol,
    g.fence AS lane_fence
FROM got g
JOIN input i ON i.exchange = g.exchange AND i.account = g.account AND i.symbol = g.symbol
LEFT JOIN claimed c ON c.request_id = i.request_id
