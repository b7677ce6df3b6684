-- The order ledger: one row an order, one row an event.

CREATE TABLE orders (
    request_id        text        PRIMARY KEY CHECK (length(request_id) BETWEEN 1 AND 128),
    client_order_id   text        NOT NULL UNIQUE CHECK (length(client_order_id) <= 32),
    fingerprint       bytea       NOT NULL,

    -- what was asked, as the message said it
    payload           jsonb       NOT NULL,
    exchange          text        NOT NULL,
    account           text        NOT NULL,
    symbol            text        NOT NULL,
    action            text        NOT NULL,
    quantity          numeric     NOT NULL CHECK (quantity > 0),
    price             numeric,
    queued_at         timestamptz,
    received_at       timestamptz NOT NULL,

    -- where it stands
    state             text        NOT NULL DEFAULT 'RECEIVED' CHECK (state IN (
        'RECEIVED', 'DENIED', 'EXPIRED', 'DEFERRED', 'SENDING', 'UNKNOWN', 'ACCEPTED',
        'PARTIALLY_FILLED', 'FILLED', 'CANCELED', 'REJECTED', 'QUARANTINED')),
    code              text,
    message           text,
    attempts          integer     NOT NULL DEFAULT 1,
    sends             integer     NOT NULL DEFAULT 0,
    updated_at        timestamptz NOT NULL DEFAULT now(),

    -- who works on it: an owner, a fencing number that grows with every take-over, a lease
    owner             uuid,
    fence             bigint      NOT NULL DEFAULT 1,
    lease_until       timestamptz,

    -- the order as it was sent
    side              text,
    order_type        text,
    order_quantity    numeric,
    order_price       numeric,
    reduce_only       boolean,
    intended_at       timestamptz,
    sent_at           timestamptz,
    -- after this instant no request of this intent can be accepted by the exchange any more
    may_land_until    timestamptz,

    -- the order as the exchange has it
    exchange_order_id text,
    filled_quantity   numeric     NOT NULL DEFAULT 0,
    average_price     numeric,
    fee               numeric,
    fee_currency      text,
    finished_at       timestamptz,
    -- when the message was put among the dead letters, confirmed by the broker
    dead_lettered_at  timestamptz,

    -- when the reconciler looks next
    check_at          timestamptz,
    checks            integer     NOT NULL DEFAULT 0
) WITH (fillfactor = 70);

CREATE INDEX orders_to_check ON orders (check_at) WHERE check_at IS NOT NULL;
CREATE INDEX orders_open ON orders (lease_until)
    WHERE state IN ('SENDING', 'UNKNOWN', 'ACCEPTED', 'PARTIALLY_FILLED');
CREATE INDEX orders_by_time ON orders (received_at DESC);

-- Appended to, never changed: every order can be told again from its events.
CREATE TABLE order_events (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    request_id   text        NOT NULL,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    before_state text,
    after_state  text        NOT NULL,
    fence        bigint      NOT NULL,
    attempt      integer     NOT NULL,
    owner        uuid,
    code         text,
    message      text,
    detail       jsonb
);

CREATE INDEX order_events_by_order ON order_events (request_id, id);

CREATE FUNCTION order_events_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'order_events is append-only: % refused', TG_OP USING ERRCODE = 'TW002';
END $$;

CREATE TRIGGER order_events_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON order_events
    FOR EACH STATEMENT EXECUTE FUNCTION order_events_guard();

-- The state table once more, so that no program and no hand can take a step it does not allow.
-- The test is in the WHEN clause: the function runs only to refuse.
CREATE FUNCTION orders_state_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'order %: % may not follow %', OLD.request_id, NEW.state, OLD.state
        USING ERRCODE = 'TW001';
END $$;

CREATE TRIGGER orders_state_guard BEFORE UPDATE OF state ON orders FOR EACH ROW
    WHEN (OLD.state <> NEW.state AND OLD.state || '>' || NEW.state NOT IN (
        'RECEIVED>DENIED', 'RECEIVED>EXPIRED', 'RECEIVED>CANCELED', 'RECEIVED>DEFERRED',
        'RECEIVED>SENDING',
        'DEFERRED>DENIED', 'DEFERRED>EXPIRED', 'DEFERRED>CANCELED', 'DEFERRED>SENDING',
        'SENDING>ACCEPTED', 'SENDING>REJECTED', 'SENDING>DEFERRED', 'SENDING>UNKNOWN',
        'UNKNOWN>ACCEPTED', 'UNKNOWN>PARTIALLY_FILLED', 'UNKNOWN>FILLED', 'UNKNOWN>CANCELED',
        'UNKNOWN>REJECTED', 'UNKNOWN>QUARANTINED', 'UNKNOWN>DEFERRED',
        'ACCEPTED>PARTIALLY_FILLED', 'ACCEPTED>FILLED', 'ACCEPTED>CANCELED',
        'ACCEPTED>REJECTED', 'ACCEPTED>QUARANTINED',
        'PARTIALLY_FILLED>FILLED', 'PARTIALLY_FILLED>CANCELED', 'PARTIALLY_FILLED>QUARANTINED',
        'QUARANTINED>ACCEPTED', 'QUARANTINED>FILLED', 'QUARANTINED>CANCELED',
        'QUARANTINED>REJECTED'))
    EXECUTE FUNCTION orders_state_guard();

-- Which retry ladders were ever bound to a queue, so that an old one can be unbound when the
-- delays change (two ladders bound at once would copy every retried message).
CREATE TABLE retry_ladders (
    queue      text        NOT NULL,
    delays     text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (queue, delays)
);
