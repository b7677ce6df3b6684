-- Everything a worker knows of the config, as of one instant: the version, the values, and when
-- each key last went from one value to another (for the kill switch: until when it barred orders).
-- Of a table or a value that has got out of hand, more than may be there but not all of it.
SELECT
    clock_timestamp() AS at,
    coalesce((SELECT version FROM config_version), 0) AS version,
    (
        SELECT coalesce(json_object_agg(key, value), '{}')
        FROM (SELECT left(key, 300) AS key, left(value, $2) AS value FROM config LIMIT $3) AS kept
    ) AS values,
    (
        SELECT coalesce(json_agg(json_build_array(key, old, new, at)), '[]')
        FROM (
            SELECT key, left(old, 20) AS old, left(new, 20) AS new, max(at) AS at
            FROM config_history
            WHERE starts_with(key, $1) AND old IS NOT NULL
            GROUP BY 1, 2, 3
        ) AS moves
    ) AS moves
