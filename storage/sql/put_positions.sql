-- Keep the positions of an account as they were read; legs that were not shown are flat.
WITH input AS (
    SELECT * FROM unnest($4::text[], $5::text[], $6::numeric[], $7::numeric[], $8::numeric[])
        AS i (symbol, leg, quantity, entry_price, leverage)
), flat AS (
    DELETE FROM positions p
    WHERE p.exchange = $1 AND p.account = $2 AND p.read_at <= $3
      AND NOT EXISTS (SELECT FROM input i WHERE i.symbol = p.symbol AND i.leg = p.leg)
)
INSERT INTO positions AS p
    (exchange, account, symbol, leg, quantity, entry_price, leverage, read_at)
SELECT $1, $2, i.symbol, i.leg, i.quantity, i.entry_price, i.leverage, $3 FROM input i
ORDER BY i.symbol, i.leg
ON CONFLICT (exchange, account, symbol, leg) DO UPDATE SET
    quantity = excluded.quantity,
    entry_price = excluded.entry_price,
    leverage = excluded.leverage,
    read_at = excluded.read_at
WHERE p.read_at <= excluded.read_at
