-- Take slots for some requests at once; see migration 0030. Waits count from `now_s`.
SELECT wait_ms, taken, cooling, used, extract(epoch FROM clock_timestamp())::float8 AS now_s
FROM take_slots(
    $1::integer[], $2::text[], $3::integer[], $4::integer[], $5::integer[], $6::integer[],
    $7::integer[], $8::text[], $9::boolean[], $10::integer[]
)
