-- Claim new orders that are ready, with their lanes and request slots, and enter them as about to be
-- sent, in one commit; gives those for which that was done. See migration 0073.
SELECT * FROM begin_ready(
    $1::uuid, $2::interval, $3::interval, $4::jsonb,
    $5::integer[], $6::text[], $7::integer[], $8::integer[], $9::integer[], $10::integer[],
    $11::integer[], $12::text[], $13::boolean[]
)
