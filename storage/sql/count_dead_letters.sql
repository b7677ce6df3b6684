SELECT state, reason, coalesce(exchange, '-') AS exchange, count(*) AS count,
    min(failed_at) AS first_at, max(failed_at) AS last_at
FROM dead_letters_matching($1, $2, $3, $4, $5, $6, $7, $8, $9)
GROUP BY 1, 2, 3
