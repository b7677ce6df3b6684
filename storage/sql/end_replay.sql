-- Note that dead letters are done with: published again, or done already.
WITH input AS (
    SELECT * FROM unnest($1::bigint[], $2::text[]) AS i (id, result)
)
UPDATE dead_letters d SET
    state = 'replayed', changed_at = now(), changed_by = $3, changed_why = $4, result = i.result
FROM input i WHERE d.id = i.id AND d.state IN ('waiting', 'replaying')
