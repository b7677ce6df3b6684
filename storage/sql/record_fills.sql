-- Keep fills of some orders (one that is there already is the same), and bring each order in line with
-- its fills. They are complete when they add up to what the exchange says was filled; until then, and
-- until the order is final, they are read again after a wait. More than the order knew of is a fill
-- that came late. What changes an order is an event.
WITH input AS (
    SELECT * FROM unnest($1::text[], $2::interval[]) AS i (request_id, wait)
), added AS (
    INSERT INTO fills (
        request_id, exchange, account, fill_id, exchange_order_id, symbol, side,
        price, quantity, fee, fee_currency, maker, executed_at
    )
    SELECT * FROM unnest(
        $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
        $10::numeric[], $11::numeric[], $12::numeric[], $13::text[], $14::boolean[], $15::timestamptz[]
    )
    ON CONFLICT DO NOTHING
    RETURNING request_id, price, quantity, fee, fee_currency
), known AS (
    SELECT f.request_id, f.price, f.quantity, f.fee, f.fee_currency
    FROM input i JOIN fills f USING (request_id)
    UNION ALL
    SELECT * FROM added
), sums AS (
    SELECT i.request_id, i.wait, coalesce(sum(k.quantity), 0) AS quantity,
        sum(k.price * k.quantity) AS turnover, sum(k.fee) AS fee, min(k.fee_currency) AS fee_currency,
        count(DISTINCT k.fee_currency) AS currencies
    FROM input i LEFT JOIN known k USING (request_id)
    GROUP BY i.request_id, i.wait
), before AS (
    -- In one order for all replicas: no deadlocks.
    SELECT o.* FROM orders o WHERE o.request_id = ANY ($1) ORDER BY o.request_id FOR UPDATE
), changed AS (
    UPDATE orders o SET
        filled_quantity = greatest(b.filled_quantity, s.quantity),
        average_price = CASE
            WHEN s.quantity > b.filled_quantity
                OR s.quantity = b.filled_quantity AND s.quantity > 0 AND b.average_price IS NULL
            THEN round(s.turnover / s.quantity, 12) ELSE b.average_price END,
        fee = CASE WHEN s.currencies = 1 AND s.quantity >= b.filled_quantity
            THEN s.fee ELSE b.fee END,
        fee_currency = CASE WHEN s.currencies = 1 AND s.quantity >= b.filled_quantity
            THEN s.fee_currency ELSE b.fee_currency END,
        fills_checks = b.fills_checks + 1,
        fills_check_at = CASE
            WHEN s.quantity >= b.filled_quantity THEN NULL ELSE now() + s.wait END
    FROM before b JOIN sums s USING (request_id)
    WHERE o.request_id = b.request_id
    RETURNING o.*, s.quantity >= b.filled_quantity AS complete,
        (o.filled_quantity, o.average_price, o.fee, o.fee_currency)
            IS DISTINCT FROM (b.filled_quantity, b.average_price, b.fee, b.fee_currency) AS news
), event AS (
    INSERT INTO order_events (request_id, before_state, after_state, fence, attempt, owner, detail)
    SELECT request_id, state, state, fence, attempts, owner, jsonb_strip_nulls(jsonb_build_object(
        'exchange_order_id', exchange_order_id, 'filled_quantity', filled_quantity,
        'average_price', average_price, 'fee', fee, 'fee_currency', fee_currency))
    FROM changed WHERE news
)
SELECT request_id FROM changed WHERE complete
