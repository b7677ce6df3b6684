-- Claim orders for an owner, and the lanes they go to: new orders are born, known ones are taken
-- over if they are open and nobody else who is alive holds a lease. An order whose lane another
-- owner has is left alone and the lane is asked for. Gives every lane that is ours now, with the order
-- that was claimed for it or NULLs.
-- A new order that comes with all that its intent needs (a side) is born as about to be sent, if its
-- request slot is free now and it breaks no limit: see begin_sending.sql, of which this is the short way.
-- Locks are taken in one order by all replicas, lanes, then slots, then orders, and no lane that another
-- may hold is waited for.
WITH input AS (
    SELECT * FROM unnest(
        $1::text[], $2::text[], $3::bytea[], $4::jsonb[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::numeric[], $10::numeric[], $11::timestamptz[], $12::timestamptz[],
        $18::text[], $19::text[], $20::numeric[], $21::numeric[], $22::boolean[],
        $23::text[], $24::numeric[], $25::numeric[], $26::interval[],
        $27::int[], $28::interval[], $29::jsonb[], $30::text[], $31::boolean[]
    ) AS i (
        request_id, client_order_id, fingerprint, payload, exchange, account, symbol,
        action, quantity, price, queued_at, received_at,
        side, order_type, order_quantity, order_price, reduce_only,
        position_side, take_profit, stop_loss, may_land_for,
        max_orders, window_length, checked, address, urgent
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
    FOR SHARE OF l
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
), fresh AS MATERIALIZED (
    SELECT i.*
    FROM input i JOIN got g USING (exchange, account, symbol)
    WHERE i.side IS NOT NULL AND NOT EXISTS (
        SELECT FROM orders o WHERE o.request_id = i.request_id
    )
), asking AS MATERIALIZED (
    SELECT request_id, address, urgent, row_number() OVER (ORDER BY request_id) AS number
    FROM fresh WHERE address IS NOT NULL
), needs AS (
    SELECT
        array_agg(a.number::int ORDER BY a.number, n.place) AS number,
        array_agg(n.bucket ORDER BY a.number, n.place) AS bucket,
        array_agg(n.units ORDER BY a.number, n.place) AS units,
        array_agg(n.general ORDER BY a.number, n.place) AS general,
        array_agg(n.reserved ORDER BY a.number, n.place) AS reserved,
        array_agg(n.period_ms ORDER BY a.number, n.place) AS period_ms,
        array_agg(n.lent_ms ORDER BY a.number, n.place) AS lent_ms
    FROM asking a JOIN unnest(
        $32::text[], $33::text[], $34::int[], $35::int[], $36::int[], $37::int[], $38::int[]
    ) WITH ORDINALITY AS n (request_id, bucket, units, general, reserved, period_ms, lent_ms, place)
        USING (request_id)
), wants AS (
    SELECT
        array_agg(address ORDER BY number) AS address,
        array_agg(urgent ORDER BY number) AS urgent,
        array_agg(0 ORDER BY number) AS patience
    FROM asking
), slots AS MATERIALIZED (
    SELECT a.request_id, s.used, extract(epoch FROM clock_timestamp())::float8 AS at_s
    FROM needs n CROSS JOIN wants w
    CROSS JOIN LATERAL find_slots(
        n.number, n.bucket, n.units, n.general, n.reserved, n.period_ms, n.lent_ms,
        w.address, w.urgent, w.patience
    ) WITH ORDINALITY AS s (wait_ms, taken, cooling, used, number)
    JOIN asking a ON a.number = s.number
    WHERE n.number IS NOT NULL AND s.taken
), weighed AS MATERIALIZED (
    SELECT f.*, s.used, s.at_s,
        CASE WHEN f.max_orders IS NOT NULL THEN 1 + (
            SELECT count(*)
            FROM orders o
            WHERE o.exchange = f.exchange AND o.account = f.account AND o.symbol = f.symbol
              AND (o.finished_at IS NULL OR o.finished_at >= now() - f.window_length)
              AND o.intended_at > now() - f.window_length
              AND NOT o.reduce_only
        ) END AS orders
    FROM fresh f LEFT JOIN slots s USING (request_id)
    WHERE f.address IS NULL OR s.request_id IS NOT NULL
), begun AS (
    SELECT * FROM weighed WHERE (orders <= max_orders) IS NOT FALSE
), claimed AS (
    INSERT INTO orders AS o (
        request_id, client_order_id, fingerprint, payload, exchange, account, symbol,
        action, quantity, price, queued_at, received_at, owner, lease_until,
        state, sends, side, order_type, order_quantity, order_price, reduce_only,
        position_side, take_profit, stop_loss, intended_at, may_land_until
    )
    SELECT
        i.request_id, i.client_order_id, i.fingerprint, i.payload, i.exchange, i.account, i.symbol,
        i.action, i.quantity, i.price, i.queued_at, i.received_at, $13, now() + $14::interval,
        CASE WHEN b.request_id IS NULL THEN 'RECEIVED' ELSE 'SENDING' END,
        CASE WHEN b.request_id IS NULL THEN 0 ELSE 1 END,
        b.side, b.order_type, b.order_quantity, b.order_price, b.reduce_only,
        b.position_side, b.take_profit, b.stop_loss,
        CASE WHEN b.request_id IS NOT NULL THEN now() END, now() + b.may_land_for
    FROM input i JOIN got g USING (exchange, account, symbol)
    LEFT JOIN begun b USING (request_id)
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
    INSERT INTO order_events
        (request_id, before_state, after_state, fence, attempt, owner, detail)
    SELECT request_id, before_state, after_state, fence, attempts, owner, detail
    FROM (
        SELECT 1 AS step, request_id, NULL AS before_state, 'RECEIVED' AS after_state, fence, attempts,
            owner, NULL::jsonb AS detail
        FROM claimed WHERE fence = 1
        UNION ALL
        SELECT 2, c.request_id, 'RECEIVED', c.state, c.fence, c.attempts, c.owner,
            coalesce(b.checked, '{}') || jsonb_strip_nulls(jsonb_build_object(
                'exchange', c.exchange, 'side', c.side, 'order_type', c.order_type,
                'quantity', c.order_quantity, 'price', c.order_price, 'reduce_only', c.reduce_only,
                'position_side', c.position_side, 'take_profit', c.take_profit,
                'stop_loss', c.stop_loss))
        FROM claimed c JOIN begun b USING (request_id) WHERE c.fence = 1
    ) AS steps
    ORDER BY request_id, step
)
SELECT
    c.*,
    now() AS now,
    g.exchange AS lane_exchange,
    g.account AS lane_account,
    g.symbol AS lane_symbol,
    g.fence AS lane_fence,
    w.used AS slot_used,
    w.at_s AS slot_at_s,
    CASE WHEN c.fence = 1 AND w.orders > w.max_orders THEN w.orders END AS orders
FROM got g
JOIN input i ON i.exchange = g.exchange AND i.account = g.account AND i.symbol = g.symbol
LEFT JOIN claimed c ON c.request_id = i.request_id
LEFT JOIN weighed w ON w.request_id = i.request_id
