-- Commit the intent to send: after this commit, and not before, a byte may leave. An opening order
-- that would break a limit is not touched; which limit, and by what value, is returned. What counts
-- for it is what the exchange showed (held), all that is open in the lane as if it were to fill, and
-- what was filled after the exchange was asked. Nobody else can write an intent into the lane.
WITH input AS (
    SELECT * FROM unnest(
        $1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[],
        $7::numeric[], $8::numeric[], $9::boolean[], $10::interval[],
        $11::text[], $12::numeric[], $13::numeric[], $14::text[], $15::text[], $16::bigint[],
        $20::numeric[], $21::numeric[], $22::numeric[], $23::timestamptz[], $24::int[], $25::interval[],
        $26::jsonb[]
    ) AS i (
        request_id, fence, before, exchange, side, order_type,
        quantity, price, reduce_only, may_land_for,
        position_side, take_profit, stop_loss, lane_account, lane_symbol, lane_fence,
        max_position, value_price, held, held_at, max_orders, window_length, checked
    )
), held AS (
    -- Locked, so that nobody takes the lane over before the intent can be seen.
    SELECT i.request_id
    FROM input i JOIN lanes l
        ON l.exchange = i.exchange AND l.account = i.lane_account AND l.symbol = i.lane_symbol
    WHERE l.owner = $18::uuid AND l.fence = i.lane_fence
      AND EXISTS (
          SELECT FROM workers w WHERE w.owner = $18 AND w.alive_until >= now() + $19::interval
      )
    FOR SHARE OF l
), weighed AS (
    SELECT i.request_id,
        CASE WHEN i.max_position IS NOT NULL THEN i.value_price * (i.held + i.quantity + (
            SELECT coalesce(sum(
                CASE
                    WHEN o.finished_at IS NOT NULL THEN o.filled_quantity
                    WHEN o.updated_at < i.held_at THEN o.order_quantity - o.filled_quantity
                    ELSE o.order_quantity
                END), 0)
            FROM orders o
            WHERE o.exchange = i.exchange AND o.account = i.lane_account AND o.symbol = i.lane_symbol
              AND (o.finished_at IS NULL OR o.finished_at >= i.held_at)
              AND o.state IN ('SENDING', 'UNKNOWN', 'ACCEPTED', 'PARTIALLY_FILLED', 'FILLED', 'CANCELED')
              AND o.side = i.side AND NOT o.reduce_only AND o.request_id <> i.request_id
        )) END AS position,
        CASE WHEN i.max_orders IS NOT NULL THEN 1 + (
            SELECT count(*)
            FROM orders o
            WHERE o.exchange = i.exchange AND o.account = i.lane_account AND o.symbol = i.lane_symbol
              AND (o.finished_at IS NULL OR o.finished_at >= now() - i.window_length)
              AND o.intended_at > now() - i.window_length
              AND NOT o.reduce_only AND o.request_id <> i.request_id
        ) END AS orders
    FROM input i JOIN held USING (request_id) JOIN orders mine USING (request_id)
    WHERE mine.account = i.lane_account AND mine.fence = i.fence AND mine.state = i.before
), changed AS (
    UPDATE orders o SET
        state = 'SENDING',
        code = NULL,
        message = NULL,
        sends = o.sends + 1,
        exchange = i.exchange,
        side = i.side,
        order_type = i.order_type,
        order_quantity = i.quantity,
        order_price = i.price,
        reduce_only = i.reduce_only,
        position_side = i.position_side,
        take_profit = i.take_profit,
        stop_loss = i.stop_loss,
        intended_at = now(),
        may_land_until = now() + i.may_land_for,
        lease_until = now() + $17::interval,
        updated_at = now()
    FROM input i JOIN weighed w USING (request_id)
    WHERE (w.position <= i.max_position) IS NOT FALSE AND (w.orders <= i.max_orders) IS NOT FALSE
      AND o.request_id = i.request_id AND o.account = i.lane_account AND o.fence = i.fence AND o.state = i.before
    RETURNING o.*, i.before, i.checked
), event AS (
    INSERT INTO order_events
        (request_id, before_state, after_state, fence, attempt, owner, detail)
    SELECT request_id, before, state, fence, attempts, owner, coalesce(checked, '{}') || jsonb_strip_nulls(jsonb_build_object(
        'exchange', exchange, 'side', side, 'order_type', order_type,
        'quantity', order_quantity, 'price', order_price, 'reduce_only', reduce_only,
        'position_side', position_side, 'take_profit', take_profit, 'stop_loss', stop_loss))
    FROM changed
)
SELECT i.request_id, c.request_id IS NOT NULL AS sending,
    CASE WHEN w.position > i.max_position THEN w.position END AS position,
    CASE WHEN w.orders > i.max_orders THEN w.orders END AS orders
FROM input i JOIN weighed w USING (request_id) LEFT JOIN changed c USING (request_id)
