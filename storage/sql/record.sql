-- Record what became of orders. A row is changed only if its fencing number and state are still
-- those the caller worked from; rows that moved on are not returned. An order that becomes finished
-- puts its report into the outbox, in the same commit, and so does what people want to be told of
-- (nothing, unless a worker with NOTIFY_URLS has asked for it). The lane is handed over with
-- the order's end, unless more work for it waits here and nobody has asked for it for long. One that
-- becomes a dead letter now, its message being long gone, is put there in the same commit.
WITH input AS (
    SELECT * FROM unnest(
        $1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[],
        $7::text[], $8::timestamptz[], $9::numeric[], $10::numeric[], $11::numeric[], $12::text[],
        $13::boolean[], $14::interval[], $15::interval[], $16::boolean[],
        $17::text[], $18::boolean[], $19::jsonb[], $22::jsonb[]
    ) AS i (
        request_id, fence, before, after, code, message,
        exchange_order_id, sent_at, filled_quantity, average_price, fee, fee_currency,
        keep_lease, may_land_for, check_in, quiet,
        lane_exchange, more, detail, letter
    )
), changed AS (
    UPDATE orders o SET
        state = i.after,
        code = i.code,
        message = i.message,
        exchange_order_id = coalesce(i.exchange_order_id, o.exchange_order_id),
        sent_at = coalesce(o.sent_at, i.sent_at),
        filled_quantity = coalesce(i.filled_quantity, o.filled_quantity),
        average_price = coalesce(i.average_price, o.average_price),
        fee = coalesce(i.fee, o.fee),
        fee_currency = coalesce(i.fee_currency, o.fee_currency),
        lease_until = CASE WHEN i.keep_lease THEN o.lease_until END,
        may_land_until = coalesce(now() + i.may_land_for, o.may_land_until),
        check_at = now() + i.check_in,
        fills_check_at = CASE
            WHEN i.quiet OR coalesce(i.exchange_order_id, o.exchange_order_id) IS NULL
            THEN o.fills_check_at
            WHEN i.filled_quantity > 0 THEN now()
            -- canceled, but a fill may have been on its way
            WHEN i.after = 'CANCELED' THEN now() + interval '5 s'
            ELSE o.fills_check_at
        END,
        checks = CASE WHEN i.after = i.before THEN o.checks + 1 ELSE 0 END,
        finished_at = CASE WHEN i.after IN
            ('DENIED', 'EXPIRED', 'FILLED', 'CANCELED', 'REJECTED', 'QUARANTINED') THEN now() END,
        dead_lettered_at = CASE WHEN i.letter IS NULL THEN o.dead_lettered_at ELSE now() END,
        updated_at = now()
    FROM input i
    WHERE o.request_id = i.request_id AND o.fence = i.fence AND o.state = i.before
    RETURNING o.*, i.before, i.quiet, i.lane_exchange, i.more, i.detail, i.letter
), event AS (
    INSERT INTO order_events
        (request_id, before_state, after_state, fence, attempt, owner, code, message, detail)
    SELECT request_id, before, state, fence, attempts, owner, code, message,
        CASE WHEN exchange_order_id IS NULL AND filled_quantity = 0 THEN detail
        ELSE coalesce(detail, '{}') || jsonb_strip_nulls(jsonb_build_object(
            'exchange_order_id', exchange_order_id, 'filled_quantity', filled_quantity,
            'average_price', average_price, 'fee', fee, 'fee_currency', fee_currency)) END
    FROM changed WHERE NOT quiet
), freed AS (
    UPDATE lanes l SET owner = NULL
    FROM changed c
    WHERE l.exchange = c.lane_exchange AND l.account = c.account AND l.symbol = c.symbol
      AND l.owner = $20::uuid
      AND (
          NOT c.more
          OR l.wanted_by <> $20 AND l.wanted_until > now() AND l.taken_at < now() - $21::interval
      )
    RETURNING c.request_id
), report AS (
    INSERT INTO outbox (kind, request_id)
    SELECT 'report', request_id FROM changed
    WHERE state <> before
      AND state IN ('DENIED', 'EXPIRED', 'FILLED', 'CANCELED', 'REJECTED')
), notice AS (
    INSERT INTO outbox (kind, topic, request_id)
    SELECT 'notification', t.topic, c.request_id
    FROM changed c
    JOIN notification_topics t ON t.wanted_until > now() AND t.topic = CASE
        WHEN c.state = 'QUARANTINED' THEN 'quarantined'
        WHEN c.state IN ('FILLED', 'CANCELED') AND c.filled_quantity > 0 THEN 'executed'
        WHEN c.state IN ('DENIED', 'EXPIRED', 'REJECTED') THEN 'failed'
        -- sent, and nothing came of it; one that was never sent had nothing to do
        WHEN c.state = 'CANCELED' AND c.sends > 0 THEN 'failed'
    END
    WHERE c.state <> c.before
)
SELECT c.request_id, f.request_id IS NOT NULL AS freed,
    CASE WHEN c.letter IS NOT NULL THEN bury_order(
        c.request_id, c.fence, c.payload, c.exchange, c.symbol, c.action,
        c.attempts, c.received_at, c.letter
    ) END
FROM changed c LEFT JOIN freed f USING (request_id)
