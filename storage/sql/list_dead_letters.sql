-- A page, newest first, from below a key on; without the bodies.
SELECT id, headers, content_type, message_id, reason, error, attempts, request_id, exchange,
    symbol, action, replay_of, batch_id, batch_at, batch_order, failed_at, collected_at, state,
    changed_at, changed_by, changed_why, result, replay_message_id, octet_length(body) AS size
FROM dead_letters_matching($1, $2, $3, $4, $5, $6, $7, $8, $9)
WHERE $10::timestamptz IS NULL OR (failed_at, id) < ($10, $11::bigint)
ORDER BY failed_at DESC, id DESC
LIMIT $12
