-- Keep dead letters; one that is kept already is left alone.
INSERT INTO dead_letters (
    identity, body, headers, content_type, message_id, routing_key, reason, error, error_group,
    attempts, request_id, exchange, symbol, action, replay_of, batch_id, batch_at, batch_order,
    failed_at
)
SELECT * FROM unnest(
    $1::bytea[], $2::bytea[], $3::jsonb[], $4::text[], $5::text[], $6::text[], $7::text[],
    $8::text[], $9::text[], $10::integer[], $11::text[], $12::text[], $13::text[], $14::text[],
    $15::bigint[], $16::text[], $17::timestamptz[], $18::integer[], $19::timestamptz[]
)
ON CONFLICT (identity) DO NOTHING
