-- The dead letter of an order whose message was acknowledged because the exchange had taken the order.
-- Written with the state that it speaks of. The message itself is gone by then: the body is the trade
-- as the ledger keeps it, which is the same trade, and the header `trade-body` says so.
CREATE FUNCTION bury_order(
    request_id text, fence bigint, payload jsonb, exchange text, symbol text, action text,
    attempts integer, received_at timestamptz, letter jsonb
) RETURNS void LANGUAGE sql AS $$
    INSERT INTO dead_letters (
        identity, body, headers, content_type, routing_key, reason, error, error_group, attempts,
        request_id, exchange, symbol, action, batch_id, batch_at, batch_order, failed_at
    )
    VALUES (
        -- what was collected from the queue begins otherwise, and an order has one end under a fence
        sha256(convert_to('order ' || request_id || ' ' || fence, 'UTF8')),
        convert_to(payload::text, 'UTF8'),
        jsonb_build_object(
            'trade-reason', letter->>'reason', 'trade-error', letter->>'error',
            'trade-request-id', request_id, 'trade-exchange', exchange, 'trade-attempts', attempts,
            'trade-failed-at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'),
            'trade-body', 'as the ledger keeps it'),
        'application/json', '', letter->>'reason', letter->>'error', letter->>'error_group', attempts,
        request_id, exchange, symbol, action, '', received_at, 0, now()
    )
    ON CONFLICT (identity) DO NOTHING
$$;
