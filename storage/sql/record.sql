-- Record what became of orders. A row is changed only if its fencing number and state are still
-- those the caller worked from; rows that moved on are not returned. An order that becomes finished
-- puts its report into the outbox, in the same commit.
WITH input AS (
    SELECT * FROM unnest(
        $1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[],
        $7::text[], $8::timestamptz[], $9::numeric[], $10::numeric[], $11::numeric[], $12::text[],
        $13::boolean[], $14::interval[], $15::interval[], $16::boolean[]
    ) AS i (
        request_id, fence, before, after, code, message,
        exchange_order_id, sent_at, filled_quantity, average_price, fee, fee_currency,
        keep_lease, may_land_for, check_in, quiet
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
        checks = CASE WHEN i.after = i.before THEN o.checks + 1 ELSE 0 END,
        finished_at = CASE WHEN i.after IN
            ('DENIED', 'EXPIRED', 'FILLED', 'CANCELED', 'REJECTED', 'QUARANTINED') THEN now() END,
        updated_at = now()
    FROM input i
    WHERE o.request_id = i.request_id AND o.fence = i.fence AND o.state = i.before
    RETURNING o.*, i.before, i.quiet
), event AS (
    INSERT INTO order_events
        (request_id, before_state, after_state, fence, attempt, owner, code, message, detail)
    SELECT request_id, before, state, fence, attempts, owner, code, message,
        CASE WHEN exchange_order_id IS NOT NULL THEN jsonb_strip_nulls(jsonb_build_object(
            'exchange_order_id', exchange_order_id, 'filled_quantity', filled_quantity,
            'average_price', average_price, 'fee', fee, 'fee_currency', fee_currency)) END
    FROM changed WHERE NOT quiet
), report AS (
    INSERT INTO outbox (kind, request_id)
    SELECT 'report', request_id FROM changed
    WHERE state <> before
      AND state IN ('DENIED', 'EXPIRED', 'FILLED', 'CANCELED', 'REJECTED')
)
SELECT request_id FROM changed
