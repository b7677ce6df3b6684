SELECT * FROM trade_signals
WHERE ($1::bigint IS NULL OR id < $1)
  AND ($2::text IS NULL OR symbol = $2)
  AND ($3::text IS NULL OR signal_type = $3)
  AND ($4::text IS NULL OR source = $4)
  AND ($5::text IS NULL OR exchange = $5)
  AND ($6::timestamptz IS NULL OR signaled_at >= $6)
  AND ($7::timestamptz IS NULL OR signaled_at < $7)
ORDER BY id DESC
LIMIT $8
