-- Commit the intent to send: after this commit, and not before, a byte may leave.
WITH input AS (
    SELECT * FROM unnest(
        $1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[],
        $7::numeric[], $8::numeric[], $9::boolean[], $10::interval[],
        $11::text[], $12::numeric[], $13::numeric[]
    ) AS i (
        request_id, fence, before, exchange, side, order_type,
        quantity, price, reduce_only, may_land_for,
        position_side, take_profit, stop_loss
    )
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
        lease_until = now() + $14::interval,
        updated_at = now()
    FROM input i
    WHERE o.request_id = i.request_id AND o.fence = i.fence AND o.state = i.before
    RETURNING o.*, i.before
), event AS (
    INSERT INTO order_events
        (request_id, before_state, after_state, fence, attempt, owner, detail)
    SELECT request_id, before, state, fence, attempts, owner, jsonb_strip_nulls(jsonb_build_object(
        'exchange', exchange, 'side', side, 'order_type', order_type,
        'quantity', order_quantity, 'price', order_price, 'reduce_only', reduce_only,
        'position_side', position_side, 'take_profit', take_profit, 'stop_loss', stop_loss))
    FROM changed
)
SELECT request_id FROM changed
