-- Dead letters, collected from the queue they end up in, so that listing, grouping and replaying
-- never peek at a queue.

CREATE TABLE dead_letters (
    id                bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- digest of what one death is known by: collected twice it is one row
    identity          bytea       NOT NULL UNIQUE,

    -- the message, untouched
    body              bytea       NOT NULL,
    headers           jsonb       NOT NULL,
    content_type      text,
    message_id        text,
    routing_key       text        NOT NULL,

    -- why it is here; error_group is the error without its numbers and ids
    reason            text        NOT NULL,
    error             text        NOT NULL,
    error_group       text        NOT NULL,
    attempts          integer     NOT NULL,

    -- whose it is, as far as the body can be read
    request_id        text,
    exchange          text,
    symbol            text,
    action            text,
    -- the replay that sent it, if it died again after one
    replay_of         bigint,

    -- its place in its batch: when the batch began, and which message of it this was
    batch_id          text        NOT NULL,
    batch_at          timestamptz NOT NULL,
    batch_order       integer     NOT NULL,
    failed_at         timestamptz NOT NULL,
    collected_at      timestamptz NOT NULL DEFAULT now(),

    -- what was done about it: by whom, why, when, and what came of it
    state             text        NOT NULL DEFAULT 'waiting'
        CHECK (state IN ('waiting', 'replaying', 'replayed', 'dropped')),
    changed_at        timestamptz,
    changed_by        text,
    changed_why       text,
    result            text,
    replay_message_id text
);

CREATE INDEX dead_letters_newest ON dead_letters (failed_at DESC, id DESC);
CREATE INDEX dead_letters_in_order ON dead_letters (batch_at, batch_id, batch_order, id)
    WHERE state IN ('waiting', 'replaying');
CREATE INDEX dead_letters_by_request ON dead_letters (request_id);
CREATE INDEX dead_letters_by_batch ON dead_letters (batch_id);

-- What was deliberately allowed for an order that was taken up again: how often that happened, and
-- whether it may be sent although it is too old.
ALTER TABLE orders
    ADD COLUMN replays     integer NOT NULL DEFAULT 0,
    ADD COLUMN allow_stale boolean NOT NULL DEFAULT false;

-- An order that ended without reaching the exchange's book may be taken up again, but only as a
-- replay: counted, and with a new fencing number, so that nobody who had it before can write.
CREATE OR REPLACE FUNCTION orders_state_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state IN ('DENIED', 'EXPIRED', 'REJECTED') AND NEW.state IN ('DEFERRED', 'UNKNOWN')
        AND NEW.replays = OLD.replays + 1 AND NEW.fence > OLD.fence AND OLD.filled_quantity = 0
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'order %: % may not follow %', OLD.request_id, NEW.state, OLD.state
        USING ERRCODE = 'TW001';
END $$;

-- The rows that a filter wants; NULL means any.
CREATE FUNCTION dead_letters_matching(
    wanted_ids bigint[], wanted_states text[], wanted_reason text, wanted_exchange text,
    wanted_symbol text, wanted_batch text, wanted_request text, since timestamptz, until timestamptz
) RETURNS SETOF dead_letters LANGUAGE sql STABLE AS $$
    SELECT * FROM dead_letters
    WHERE (wanted_ids IS NULL OR id = ANY (wanted_ids))
      AND (wanted_states IS NULL OR state = ANY (wanted_states))
      AND (wanted_reason IS NULL OR reason = wanted_reason)
      AND (wanted_exchange IS NULL OR exchange = wanted_exchange)
      AND (wanted_symbol IS NULL OR symbol = wanted_symbol)
      AND (wanted_batch IS NULL OR batch_id = wanted_batch)
      AND (wanted_request IS NULL OR request_id = wanted_request)
      AND (since IS NULL OR failed_at >= since)
      AND (until IS NULL OR failed_at < until)
$$;
