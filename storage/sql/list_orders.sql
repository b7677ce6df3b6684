SELECT * FROM orders
WHERE ($1::text IS NULL OR state = $1)
  AND ($2::text IS NULL OR exchange = $2)
  AND ($3::text IS NULL OR symbol = $3)
  AND ($4::timestamptz IS NULL OR received_at >= $4)
ORDER BY received_at DESC, request_id
LIMIT $5
