-- What strategies published: kept to be looked at, never traded from. A trade is a message of its
-- own; that a signal was followed shows in the orders of its symbol at its time.
CREATE TABLE trade_signals (
    -- grows with every signal: the newest first is also the order in which lists are read on
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    signal_id   uuid        NOT NULL UNIQUE,
    -- when the strategy says it made the signal, and when we got it
    signaled_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    symbol      text        NOT NULL,
    -- what the strategy calls it: BUY, SELL, HOLD, LONG, SHORT, …
    signal_type text        NOT NULL,
    source      text,
    exchange    text,
    price       numeric,
    -- the body as it came, to the last byte: json, not jsonb
    raw         json        NOT NULL
);

CREATE INDEX trade_signals_by_symbol ON trade_signals (symbol, id);
CREATE INDEX trade_signals_by_source ON trade_signals (source, id);
