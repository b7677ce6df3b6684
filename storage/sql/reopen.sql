-- Take orders up again that ended without reaching the exchange's book. One of which a request had
-- left becomes UNKNOWN: it is asked about before it is sent. One that the exchange had taken and
-- then rejected gets a fresh client order id, for the old one is spent. Its report is written anew
-- when it is finished again.
WITH input AS (
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::boolean[], $5::text[], $6::bigint[])
        AS i (request_id, fence, fresh_id, allow_stale, says, dead_letter)
), before AS (
    SELECT o.request_id, o.state, o.client_order_id, o.exchange_order_id
    FROM orders o JOIN input i USING (request_id)
), changed AS (
    UPDATE orders o SET
        state = CASE WHEN o.sends > 0 AND o.exchange_order_id IS NULL
            THEN 'UNKNOWN' ELSE 'DEFERRED' END,
        code = 'REPLAYED',
        message = i.says,
        client_order_id = CASE WHEN o.exchange_order_id IS NULL
            THEN o.client_order_id ELSE i.fresh_id END,
        exchange_order_id = NULL,
        replays = o.replays + 1,
        wanted_at = now(),
        allow_stale = i.allow_stale,
        fence = o.fence + 1,
        owner = NULL,
        lease_until = NULL,
        finished_at = NULL,
        dead_lettered_at = NULL,
        check_at = NULL,
        checks = 0,
        updated_at = now()
    FROM input i
    WHERE o.request_id = i.request_id AND o.fence = i.fence
      AND o.state IN ('DENIED', 'EXPIRED', 'REJECTED') AND o.filled_quantity = 0
    RETURNING o.*, i.dead_letter
), event AS (
    INSERT INTO order_events
        (request_id, before_state, after_state, fence, attempt, code, message, detail)
    SELECT c.request_id, b.state, c.state, c.fence, c.attempts, c.code, c.message,
        jsonb_strip_nulls(jsonb_build_object(
            'dead_letter', c.dead_letter, 'replays', c.replays, 'allow_stale', c.allow_stale,
            'spent_exchange_order_id', b.exchange_order_id))
    FROM changed c JOIN before b USING (request_id)
), report AS (
    DELETE FROM outbox WHERE kind = 'report' AND request_id IN (SELECT request_id FROM changed)
)
SELECT request_id, state FROM changed
