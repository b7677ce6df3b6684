-- Claim new orders that are ready, with their lanes and request slots, and enter them as about to be
-- sent, in one commit: all of them or none. None, if one is known, if a lane is not ours or free, if a
-- limit has not as many slots now as they need together, if anything they need is cooling down, or if
-- we do not certainly count as alive for long enough. What is to become of them then is for claim.sql,
-- which does all that can be the case, and takes longer. (A worker of a version before this calls a
-- function of the same name, migration 0073, which stays for as long as one may run.)
--
-- `wanted` has an object for each of $5 orders, no lane twice; $6 to $10 are the limits whose slots they
-- need, each once, with what all need of it, and $11 everything that a cool-down may be of. Only slots
-- that all may use are taken, as find_slots does while there are any. Locks are taken in one order by
-- all replicas, lanes, slots, orders, and no lane that another may hold is waited for.
WITH wanted AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($4::jsonb) AS i (
        request_id text, client_order_id text, fingerprint bytea, payload jsonb, exchange text,
        account text, symbol text, action text, quantity numeric, price numeric,
        queued_at timestamptz, received_at timestamptz, side text, order_type text,
        order_quantity numeric, order_price numeric, reduce_only boolean, position_side text,
        take_profit numeric, stop_loss numeric, may_land_for interval, checked jsonb
    )
    LIMIT $5::integer
), got AS MATERIALIZED (
    SELECT i.request_id, l.exchange, l.account, l.symbol, l.owner, l.fence
    FROM wanted i JOIN lanes l USING (exchange, account, symbol)
    WHERE (l.owner = $1::uuid OR l.owner IS NULL AND (
            l.wanted_by IS NULL OR l.wanted_by = $1 OR l.wanted_until < now()))
      AND NOT EXISTS (SELECT FROM orders o WHERE o.request_id = i.request_id)
      AND EXISTS (
          SELECT FROM workers w WHERE w.owner = $1 AND w.alive_until >= now() + $3::interval)
    FOR NO KEY UPDATE OF l SKIP LOCKED
), ring AS MATERIALIZED (
    SELECT b.bucket, n.units, n.general, n.reserved, n.period_ms,
        cardinality(b.general) = n.general AND cardinality(b.reserved) = n.reserved
        AND n.units <= n.general AS fits,
        greatest(
            b.general[n.units] + n.period_ms,  -- then there are as many that all may use
            b.general[n.general],  -- and none of these is booked ahead
            b.reserved[n.reserved] - 30000  -- or a clock was set back
        ) AS free_at_ms
    FROM unnest($6::text[], $7::integer[], $8::integer[], $9::integer[], $10::integer[])
        AS n (bucket, units, general, reserved, period_ms)
    JOIN rate_buckets b USING (bucket)
    WHERE (SELECT count(*) FROM got) = $5
    ORDER BY b.bucket
    FOR UPDATE OF b
), plain AS MATERIALIZED (
    SELECT at_s, floor(at_s * 1000)::bigint AS now_ms
    FROM (
        -- the time when all locks are there, however long that took
        SELECT extract(epoch FROM clock_timestamp())::float8 AS at_s, max(free_at_ms) AS free_at_ms
        FROM ring HAVING count(*) FILTER (WHERE fits) = cardinality($6)
    ) AS locked
    WHERE coalesce(free_at_ms, 0) <= floor(at_s * 1000)
      AND (SELECT count(*) FROM got) = $5
      AND NOT cooling_down($11::text[], at_s)
), taken AS (
    UPDATE rate_buckets b SET
        units = r.general + r.reserved,
        period_ms = r.period_ms,
        general = b.general[r.units + 1 :] || array_fill(p.now_ms, ARRAY[r.units])
    FROM ring r, plain p
    WHERE b.bucket = r.bucket
    RETURNING b.bucket, r.general + r.reserved
        - width_bucket(p.now_ms - r.period_ms, b.general)
        - width_bucket(p.now_ms - r.period_ms, b.reserved) AS used
), lane AS (
    UPDATE lanes l SET
        owner = $1,
        fence = l.fence + 1,
        taken_at = now(),
        wanted_by = NULL,
        wanted_until = NULL
    FROM got g, plain
    WHERE g.owner IS NULL
      AND l.exchange = g.exchange AND l.account = g.account AND l.symbol = g.symbol
), entered AS (
    INSERT INTO orders AS o (
        request_id, client_order_id, fingerprint, payload, exchange, account, symbol,
        action, quantity, price, queued_at, received_at, owner, lease_until,
        state, sends, side, order_type, order_quantity, order_price, reduce_only,
        position_side, take_profit, stop_loss, intended_at, may_land_until
    )
    SELECT
        i.request_id, i.client_order_id, i.fingerprint, i.payload, i.exchange, i.account,
        i.symbol, i.action, i.quantity, i.price, i.queued_at, i.received_at, $1, now() + $2::interval,
        'SENDING', 1, i.side, i.order_type, i.order_quantity, i.order_price, i.reduce_only,
        i.position_side, i.take_profit, i.stop_loss, now(), now() + i.may_land_for
    FROM wanted i, plain
    ON CONFLICT (request_id) DO NOTHING
    RETURNING o.request_id
), event AS (
    INSERT INTO order_events
        (request_id, before_state, after_state, fence, attempt, owner, detail)
    SELECT e.request_id, s.before, s.after, 1, 1, $1, CASE WHEN s.step = 2 THEN
        coalesce(i.checked, '{}') || jsonb_strip_nulls(jsonb_build_object(
            'exchange', i.exchange, 'side', i.side, 'order_type', i.order_type,
            'quantity', i.order_quantity, 'price', i.order_price, 'reduce_only', i.reduce_only,
            'position_side', i.position_side, 'take_profit', i.take_profit,
            'stop_loss', i.stop_loss))
        END
    FROM entered e JOIN wanted i USING (request_id)
    CROSS JOIN (VALUES (1, NULL, 'RECEIVED'), (2, 'RECEIVED', 'SENDING')) AS s (step, before, after)
    ORDER BY e.request_id, s.step
)
SELECT
    e.request_id,
    now() AS begun_at,
    g.fence + (g.owner IS NULL)::integer AS lane_fence,
    (SELECT jsonb_object_agg(t.bucket, t.used) FROM taken t) AS slots_used,
    p.at_s AS slot_at_s
FROM entered e JOIN got g USING (request_id), plain p
