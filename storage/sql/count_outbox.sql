SELECT kind, count(*) AS rows,
    extract(epoch FROM now() - min(created_at))::double precision AS age
FROM outbox GROUP BY kind
