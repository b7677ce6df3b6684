-- Take the turn to tell people, if it is due and there is something to tell, and lend what is to be
-- told, oldest first. Nobody else gets a turn before the pause is over, nor the rows before the
-- lease is.
WITH turn AS (
    INSERT INTO notification_turn AS t (next_at)
    SELECT now() + $1::interval
    WHERE EXISTS (SELECT FROM outbox WHERE kind = 'notification' AND available_at <= now())
    ON CONFLICT (only_row) DO UPDATE SET next_at = excluded.next_at WHERE t.next_at <= now()
    RETURNING next_at
), due AS (
    SELECT o.id FROM outbox o, turn
    WHERE o.kind = 'notification' AND o.available_at <= now()
    ORDER BY o.id
    LIMIT $2
    FOR UPDATE OF o SKIP LOCKED
)
UPDATE outbox o SET available_at = now() + $3::interval, attempts = o.attempts + 1
FROM due WHERE o.id = due.id
RETURNING o.id, o.topic, o.request_id, o.detail, o.created_at, o.attempts
