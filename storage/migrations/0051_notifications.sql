-- Notifications: rows of the outbox that say what people want to be told of. Whoever tells them
-- (a worker with NOTIFY_URLS) says so here now and then; while nobody does, no row is written.

ALTER TABLE outbox
    ALTER COLUMN request_id DROP NOT NULL,
    -- of a notification: what it is about, one of notification_topics
    ADD COLUMN topic text,
    -- of a notification that is not about an order: the facts, as they were written down with it
    ADD COLUMN detail jsonb,
    ADD CONSTRAINT outbox_report_of CHECK (kind <> 'report' OR request_id IS NOT NULL),
    ADD CONSTRAINT outbox_topic_of CHECK (kind <> 'notification' OR topic IS NOT NULL);

CREATE TABLE notification_topics (
    topic        text        PRIMARY KEY,
    -- until then somebody tells people; a day after the last one ended nothing is kept for him
    wanted_until timestamptz NOT NULL
);

-- Whose turn it is: one notice at a time from all workers together, so that many events are one
-- message and nobody is flooded.
CREATE TABLE notification_turn (
    only_row boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    next_at  timestamptz NOT NULL
);

-- Ask for people to be told, in the statement or transaction that writes what they are told of.
-- Costs one look into a table of a few rows; does nothing while nobody wants the topic.
--   SELECT notify_people('ban', NULL, '{"exchange": "bybit", "seconds": 600}')
CREATE FUNCTION notify_people(topic text, request_id text DEFAULT NULL, detail jsonb DEFAULT NULL)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO outbox (kind, topic, request_id, detail)
    SELECT 'notification', t.topic, notify_people.request_id, notify_people.detail
    FROM notification_topics t
    WHERE t.topic = notify_people.topic AND t.wanted_until > now()
$$;
