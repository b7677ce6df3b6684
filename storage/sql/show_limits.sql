-- The limits in use, how many of their slots lie in the period that ends now, and how many ahead.
SELECT
    b.bucket, b.units, b.period_ms,
    (SELECT count(*) FROM unnest(b.general || b.reserved) AS slot
     WHERE slot > n.now_ms - b.period_ms AND slot <= n.now_ms) AS used,
    (SELECT count(*) FROM unnest(b.general || b.reserved) AS slot
     WHERE slot > n.now_ms) AS waiting,
    to_timestamp((SELECT max(slot) FROM unnest(b.general || b.reserved) AS slot
     WHERE slot > 0) / 1000.0) AS last_at
FROM rate_buckets b,
    (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000) AS now_ms) AS n
ORDER BY b.bucket
