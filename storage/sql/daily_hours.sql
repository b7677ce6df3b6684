-- The same day by exchange and hour, for the picture.
SELECT
    exchange,
    extract(hour FROM received_at AT TIME ZONE 'UTC')::integer AS hour,
    count(*) AS orders,
    count(*) FILTER (WHERE filled_quantity > 0) AS filled,
    count(*) FILTER (WHERE state IN ('REJECTED', 'DENIED', 'EXPIRED')) AS refused,
    coalesce(sum(filled_quantity * average_price), 0) AS volume_quote,
    coalesce(sum(fee) FILTER (WHERE fee_currency = $3), 0) AS fees,
    percentile_cont(0.5) WITHIN GROUP (
        ORDER BY extract(epoch FROM sent_at - queued_at)::float8) AS wire_p50,
    percentile_cont(0.99) WITHIN GROUP (
        ORDER BY extract(epoch FROM sent_at - queued_at)::float8) AS wire_p99
FROM orders
WHERE received_at >= $1 AND received_at < $2
GROUP BY 1, 2
ORDER BY 1, 2
