-- Who is at work, and who may work on which lane.

-- One row a process. It counts as alive until `alive_until`, which it moves on again and again; a
-- process that holds a session lock besides is known to be gone as soon as its connection is.
CREATE TABLE workers (
    owner       uuid        PRIMARY KEY,
    number      integer     GENERATED ALWAYS AS IDENTITY UNIQUE,  -- names the session lock
    started_at  timestamptz NOT NULL DEFAULT now(),
    alive_until timestamptz NOT NULL,
    has_session boolean     NOT NULL DEFAULT false,
    -- accounts that this process does not open positions on yet, and why
    gated       jsonb       NOT NULL DEFAULT '{}'
);

CREATE FUNCTION worker_is_gone(who uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM workers w
        WHERE w.owner = who AND (
            w.alive_until <= now()
            OR w.has_session AND NOT EXISTS (
                SELECT FROM pg_locks k
                WHERE k.locktype = 'advisory' AND k.classid = 29815 AND k.objsubid = 2
                  AND k.objid::bigint = w.number AND k.granted
                  AND k.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            )
        )
    )
$$;

-- One row a lane: an (exchange, account, symbol) that orders went to. One owner works on it at a
-- time, under a fencing number that grows whenever it changes hands.
CREATE TABLE lanes (
    exchange     text        NOT NULL,
    account      text        NOT NULL,
    symbol       text        NOT NULL,
    owner        uuid,
    fence        bigint      NOT NULL DEFAULT 1,
    taken_at     timestamptz NOT NULL DEFAULT now(),
    -- who waits for it, and until when it is kept for them once it is free
    wanted_by    uuid,
    wanted_until timestamptz,
    PRIMARY KEY (exchange, account, symbol)
) WITH (fillfactor = 50);
