SELECT reason, error_group, count(*) AS count, count(DISTINCT request_id) AS requests,
    min(failed_at) AS first_at, max(failed_at) AS last_at, max(id) AS example
FROM dead_letters_matching($1, $2, $3, $4, $5, $6, $7, $8, $9)
GROUP BY reason, error_group
ORDER BY count(*) DESC, max(failed_at) DESC
LIMIT $10
