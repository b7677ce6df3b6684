-- Say that we are alive, forget who is not, and count who is.
WITH gone AS (
    DELETE FROM rate_replicas WHERE seen_at < clock_timestamp() - $2::interval AND replica <> $1
), seen AS (
    INSERT INTO rate_replicas (replica, seen_at) VALUES ($1, clock_timestamp())
    ON CONFLICT (replica) DO UPDATE SET seen_at = excluded.seen_at
)
SELECT 1 + count(*) FROM rate_replicas
WHERE replica <> $1 AND seen_at >= clock_timestamp() - $2::interval
