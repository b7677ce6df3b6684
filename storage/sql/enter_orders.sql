-- Enter orders that nobody works on yet, as a worker would find them that comes to them later.
WITH entered AS (
    INSERT INTO orders (
        request_id, client_order_id, fingerprint, payload, exchange, account, symbol,
        action, quantity, price, queued_at, received_at
    )
    SELECT * FROM unnest(
        $1::text[], $2::text[], $3::bytea[], $4::jsonb[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::numeric[], $10::numeric[], $11::timestamptz[], $12::timestamptz[]
    )
    ON CONFLICT DO NOTHING
    RETURNING request_id, state, fence, attempts
)
INSERT INTO order_events (request_id, before_state, after_state, fence, attempt)
SELECT request_id, NULL, state, fence, attempts FROM entered
