-- What is not finished, by exchange; each half reads a partial index.
SELECT exchange,
    count(*) FILTER (WHERE state IN ('ACCEPTED', 'PARTIALLY_FILLED')) AS at_exchange,
    count(*) FILTER (WHERE state IN ('SENDING', 'UNKNOWN')) AS unresolved,
    coalesce(extract(epoch FROM now() - min(coalesce(intended_at, received_at))
        FILTER (WHERE state IN ('SENDING', 'UNKNOWN'))), 0)::double precision AS unresolved_age,
    count(*) FILTER (WHERE state = 'QUARANTINED') AS quarantined
FROM (
    SELECT exchange, state, intended_at, received_at FROM orders
    WHERE state IN ('SENDING', 'UNKNOWN', 'ACCEPTED', 'PARTIALLY_FILLED')
    UNION ALL
    SELECT exchange, state, intended_at, received_at FROM orders WHERE state = 'QUARANTINED'
) AS open
GROUP BY exchange
