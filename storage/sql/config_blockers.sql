-- Who keeps a session waiting, directly or through others that wait, and since when their transactions
-- have been open. With $2 they are ended, if our role may.
WITH RECURSIVE ahead AS (
    SELECT unnest(pg_blocking_pids($1)) AS pid
    UNION
    SELECT unnest(pg_blocking_pids(ahead.pid)) FROM ahead
)
SELECT
    a.pid,
    coalesce(a.usename, '?') AS usename,
    coalesce(nullif(a.application_name, ''), 'unnamed') AS program,
    coalesce(a.state, '?') AS state,
    a.xact_start,
    -- asked for without the right to it would be an error
    CASE
        WHEN NOT $2 OR r.rolsuper AND NOT me.rolsuper THEN false
        WHEN pg_has_role(r.oid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE')
            THEN pg_terminate_backend(a.pid)
        ELSE false
    END AS ended
FROM pg_stat_activity a JOIN ahead USING (pid)
    JOIN pg_roles r ON r.oid = a.usesysid
    JOIN pg_roles me ON me.rolname = current_user
WHERE cardinality(pg_blocking_pids(a.pid)) = 0
