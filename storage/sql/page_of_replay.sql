-- A page of what may be replayed, in the order in which it came, from above a key on. Bodies that
-- are too large to be looked into are left out.
SELECT id, message_id, headers, content_type, request_id, state, replay_message_id,
    batch_id, batch_at, batch_order,
    CASE WHEN octet_length(body) <= $10::integer THEN body END AS body,
    octet_length(body) AS size
FROM dead_letters_matching($1, $2, $3, $4, $5, $6, $7, $8, $9)
WHERE state IN ('waiting', 'replaying') AND id <= $11::bigint
  AND ($12::timestamptz IS NULL
       OR (batch_at, batch_id, batch_order, id) > ($12, $13::text, $14::integer, $15::bigint))
ORDER BY batch_at, batch_id, batch_order, id
LIMIT $16
