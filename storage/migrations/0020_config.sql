-- What an operator can change while messages flow. Whoever changes it, a command or a hand at psql,
-- the triggers see to it that the history has it and that every worker is told.

CREATE TABLE config (
    key        text        PRIMARY KEY CHECK (key <> ''),
    value      text        NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text        NOT NULL DEFAULT session_user
);

-- Appended to, never changed. `old` is null for a new key, `new` for one that was removed.
CREATE TABLE config_history (
    id  bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text        NOT NULL,
    old text,
    new text,
    who text        NOT NULL,
    why text,
    at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX config_history_by_key ON config_history (key, id);

CREATE FUNCTION config_history_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'config_history is append-only: % refused', TG_OP USING ERRCODE = 'TW002';
END $$;

CREATE TRIGGER config_history_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON config_history
    FOR EACH STATEMENT EXECUTE FUNCTION config_history_guard();

-- Grows with every change, in the order of the commits: its row is locked until then.
CREATE TABLE config_version (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version  bigint  NOT NULL
);
INSERT INTO config_version (version) VALUES (0);

-- Who and why: what the transaction says (`SET LOCAL trade.who`, `trade.why`), else the role.
CREATE FUNCTION config_who() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(current_setting('trade.who', true), ''), session_user)
$$;

CREATE FUNCTION config_stamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := clock_timestamp();
    NEW.updated_by := config_who();
    RETURN NEW;
END $$;

CREATE TRIGGER config_stamp BEFORE INSERT OR UPDATE ON config
    FOR EACH ROW EXECUTE FUNCTION config_stamp();

CREATE FUNCTION config_remember() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    why text := nullif(current_setting('trade.why', true), '');
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.key = NEW.key THEN
        IF OLD.value <> NEW.value THEN
            INSERT INTO config_history (key, old, new, who, why)
            VALUES (NEW.key, OLD.value, NEW.value, config_who(), why);
        END IF;
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO config_history (key, old, who, why)
        VALUES (OLD.key, OLD.value, config_who(), why);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO config_history (key, new, who, why)
        VALUES (NEW.key, NEW.value, config_who(), why);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER config_remember AFTER INSERT OR UPDATE OR DELETE ON config
    FOR EACH ROW EXECUTE FUNCTION config_remember();

CREATE FUNCTION config_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO config_version AS v (version) VALUES (1)
    ON CONFLICT (only_row) DO UPDATE SET version = v.version + 1;
    PERFORM pg_notify('trade_config', '');
    RETURN NULL;
END $$;

CREATE TRIGGER config_tell AFTER INSERT OR UPDATE OR DELETE ON config
    FOR EACH STATEMENT EXECUTE FUNCTION config_tell();

-- Emptying the table at once would leave no history.
CREATE FUNCTION config_no_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'config: TRUNCATE refused, for it leaves no history; use DELETE'
        USING ERRCODE = 'TW002';
END $$;

CREATE TRIGGER config_no_truncate BEFORE TRUNCATE ON config
    FOR EACH STATEMENT EXECUTE FUNCTION config_no_truncate();
