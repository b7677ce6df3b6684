-- A person says what a quarantined order was. With the report of a finished order and what people
-- want to be told of it, in one commit.
WITH changed AS (
    UPDATE orders o SET
        state = $2,
        code = 'RESOLVED',
        message = $3,
        filled_quantity = coalesce($4::numeric, o.filled_quantity),
        average_price = coalesce($5::numeric, o.average_price),
        fence = o.fence + 1,
        owner = NULL,
        lease_until = NULL,
        check_at = CASE WHEN $2 = 'ACCEPTED' THEN now() END,
        checks = 0,
        finished_at = CASE WHEN $2 <> 'ACCEPTED' THEN now() END,
        updated_at = now()
    WHERE o.request_id = $1 AND o.state = 'QUARANTINED'
    RETURNING o.*
), event AS (
    INSERT INTO order_events
        (request_id, before_state, after_state, fence, attempt, code, message, detail)
    SELECT request_id, 'QUARANTINED', state, fence, attempts, code, message,
        jsonb_strip_nulls(jsonb_build_object(
            'who', $6::text, 'why', $3, 'exchange_order_id', exchange_order_id,
            'filled_quantity', filled_quantity, 'average_price', average_price,
            'fee', fee, 'fee_currency', fee_currency))
    FROM changed
), report AS (
    INSERT INTO outbox (kind, request_id)
    SELECT 'report', request_id FROM changed WHERE state <> 'ACCEPTED'
), notice AS (
    INSERT INTO outbox (kind, topic, request_id)
    SELECT 'notification', t.topic, c.request_id
    FROM changed c
    JOIN notification_topics t ON t.wanted_until > now() AND t.topic = CASE
        WHEN c.state = 'ACCEPTED' THEN 'quarantined'  -- told that it no longer is
        WHEN c.state <> 'REJECTED' AND c.filled_quantity > 0 THEN 'executed'
        ELSE 'failed'
    END
)
SELECT request_id FROM changed
