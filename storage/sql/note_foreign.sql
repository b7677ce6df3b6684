-- Note orders that are not ours, and have people told of those that are new or were filled further.
WITH before AS (
    SELECT f.exchange_order_id, f.filled_quantity FROM foreign_orders f
    WHERE f.exchange = $1 AND f.exchange_order_id = ANY ($3::text[])
), noted AS (
    INSERT INTO foreign_orders AS f (
        exchange, exchange_order_id, account, client_order_id, symbol, side,
        quantity, filled_quantity, kind, why
    )
    SELECT $1, i.exchange_order_id, $2, i.client_order_id, i.symbol, i.side,
        i.quantity, i.filled_quantity, i.kind, i.why
    FROM unnest(
        $3::text[], $4::text[], $5::text[], $6::text[], $7::numeric[], $8::numeric[],
        $9::text[], $10::text[]
    ) AS i (
        exchange_order_id, client_order_id, symbol, side, quantity, filled_quantity, kind, why
    )
    ORDER BY i.exchange_order_id
    ON CONFLICT (exchange, exchange_order_id) DO UPDATE SET
        filled_quantity = greatest(f.filled_quantity, excluded.filled_quantity),
        last_seen = now()
    RETURNING f.*
)
SELECT notify_people('foreign', NULL, jsonb_build_object(
    'exchange', n.exchange, 'symbol', n.symbol, 'side', n.side, 'quantity', n.quantity,
    'filled', n.filled_quantity, 'order', n.exchange_order_id, 'why', n.why))
FROM noted n LEFT JOIN before b USING (exchange_order_id)
WHERE n.filled_quantity IS DISTINCT FROM b.filled_quantity
