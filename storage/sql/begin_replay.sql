-- Note that dead letters are being replayed, under which message id, by whom and why.
WITH input AS (
    SELECT * FROM unnest($1::bigint[], $2::text[]) AS i (id, message_id)
)
UPDATE dead_letters d SET
    state = 'replaying', changed_at = now(), changed_by = $3, changed_why = $4,
    replay_message_id = i.message_id, result = NULL
FROM input i WHERE d.id = i.id
