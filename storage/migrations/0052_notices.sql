-- Dead letters, kill switches and bans tell people by themselves, whoever wrote them and however; nothing
-- is written here while nobody wants to be told (notification_topics, migration 0051).

CREATE FUNCTION dead_letters_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO outbox (kind, topic, request_id, detail)
    SELECT 'notification', t.topic, d.request_id,
        jsonb_build_object('reason', d.reason, 'error', left(d.error, 300))
    FROM inserted d
    JOIN notification_topics t ON t.topic = 'dead_lettered' AND t.wanted_until > now();
    RETURN NULL;
END $$;

CREATE TRIGGER dead_letters_tell AFTER INSERT ON dead_letters
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION dead_letters_tell();

CREATE FUNCTION kill_switch_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM notify_people('kill_switch', NULL, jsonb_build_object(
        'key', NEW.key, 'before', NEW.old, 'after', NEW.new, 'by', NEW.who, 'why', NEW.why));
    RETURN NULL;
END $$;

CREATE TRIGGER kill_switch_tell AFTER INSERT ON config_history FOR EACH ROW
    WHEN (NEW.key LIKE 'trade:kill\_switch%') EXECUTE FUNCTION kill_switch_tell();

-- A ban is a cool-down of some length that was not in force before; shorter ones are daily business.
CREATE FUNCTION cooldowns_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM notify_people('ban', NULL, jsonb_build_object(
        'exchange', NEW.scope, 'until', to_char(NEW.until, 'YYYY-MM-DD HH24:MI:SS "UTC"'),
        'reason', left(NEW.why, 300)));
    RETURN NULL;
END $$;

CREATE TRIGGER cooldowns_tell_new AFTER INSERT ON rate_cooldowns FOR EACH ROW
    WHEN (NEW.until > NEW.since + interval '30 s') EXECUTE FUNCTION cooldowns_tell();

CREATE TRIGGER cooldowns_tell_again AFTER UPDATE OF until ON rate_cooldowns FOR EACH ROW
    WHEN (NEW.until > NEW.since + interval '30 s' AND (
        NEW.since <> OLD.since OR OLD.until <= OLD.since + interval '30 s'))
    EXECUTE FUNCTION cooldowns_tell();
