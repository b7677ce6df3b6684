-- Keep a signal. One that comes again under its id changes nothing, and is not returned.
INSERT INTO trade_signals
    (signal_id, signaled_at, symbol, signal_type, source, exchange, price, raw)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (signal_id) DO NOTHING
RETURNING *
