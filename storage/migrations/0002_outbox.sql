-- What others are still to be told of an order. A row is written in the transaction that writes the
-- state it speaks of, so that neither is there without the other. It holds no content: that is read
-- from the ledger when it is told. A row that is done is deleted, so that the table stays as small
-- as what is waiting; the order and the uploaded object are the lasting record.

CREATE TABLE outbox (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- 'report': upload the report of a finished order
    kind         text        NOT NULL,
    request_id   text        NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    -- not to be taken before: pushed back by a lease while a worker has it, by a wait after a failure
    available_at timestamptz NOT NULL DEFAULT now(),
    -- times it was taken and tried; also tells whether it was taken again in the meantime
    attempts     integer     NOT NULL DEFAULT 0,
    last_error   text
) WITH (
    -- rows come and go: clear them away by number, not as a share of a table that is mostly empty
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000
);

CREATE INDEX outbox_available ON outbox (kind, available_at);

-- Orders that finished before there was an outbox.
INSERT INTO outbox (kind, request_id)
SELECT 'report', request_id FROM orders
WHERE state IN ('DENIED', 'EXPIRED', 'FILLED', 'CANCELED', 'REJECTED')
ORDER BY finished_at;
