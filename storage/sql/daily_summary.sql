-- A day's orders by exchange and symbol: how many, what became of them, what was traded and paid,
-- and how long they took from the producer to the wire. An order belongs to the day it came in.
WITH today AS (
    SELECT * FROM orders WHERE received_at >= $1 AND received_at < $2
), paid AS (
    SELECT exchange, symbol, jsonb_object_agg(currency, total::text) AS fees
    FROM (
        SELECT exchange, symbol, coalesce(fee_currency, '?') AS currency, sum(fee) AS total
        FROM today WHERE fee IS NOT NULL GROUP BY 1, 2, 3
    ) AS by_currency
    GROUP BY 1, 2
)
SELECT
    exchange,
    symbol,
    count(*) AS orders,
    count(*) FILTER (WHERE state = 'FILLED') AS filled,
    count(*) FILTER (WHERE state <> 'FILLED' AND filled_quantity > 0) AS partly_filled,
    count(*) FILTER (WHERE state = 'CANCELED' AND filled_quantity = 0) AS canceled,
    count(*) FILTER (WHERE state = 'REJECTED') AS rejected,
    count(*) FILTER (WHERE state = 'DENIED') AS denied,
    count(*) FILTER (WHERE state = 'EXPIRED') AS expired,
    count(*) FILTER (WHERE state = 'QUARANTINED' AND filled_quantity = 0) AS quarantined,
    count(*) FILTER (WHERE filled_quantity = 0 AND state IN (
        'RECEIVED', 'DEFERRED', 'SENDING', 'UNKNOWN', 'ACCEPTED', 'PARTIALLY_FILLED')) AS open,
    sum(filled_quantity) AS volume_base,
    coalesce(sum(filled_quantity * average_price), 0) AS volume_quote,
    paid.fees,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY wire) AS wire_p50,
    percentile_cont(0.99) WITHIN GROUP (ORDER BY wire) AS wire_p99
FROM (
    SELECT *, extract(epoch FROM sent_at - queued_at)::float8 AS wire FROM today
) AS timed
LEFT JOIN paid USING (exchange, symbol)
GROUP BY exchange, symbol, paid.fees
ORDER BY exchange, symbol
