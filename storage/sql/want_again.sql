-- Orders that are open still and wanted anew by a replay: what barred them before, and how old they
-- may be, is looked at from now.
UPDATE orders o SET wanted_at = now(), allow_stale = o.allow_stale OR i.allow_stale
FROM unnest($1::text[], $2::boolean[]) AS i (request_id, allow_stale)
WHERE o.request_id = i.request_id AND o.state IN ('RECEIVED', 'DEFERRED')
