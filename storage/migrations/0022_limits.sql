-- What limits on opening orders look at in the commit of an intent. A lane has one owner at a time,
-- and only he may commit intents in it, so what a statement of his sees of it is all there is: two
-- replicas can't both take the last of a limit.

-- The orders of a lane that are open (finished_at is null) or were finished of late.
CREATE INDEX orders_by_lane ON orders (exchange, account, symbol, finished_at);

-- An account's equity over a day (UTC), by which the daily drawdown is told.
CREATE TABLE equity_days (
    exchange   text        NOT NULL,
    account    text        NOT NULL,
    day        date        NOT NULL,
    currency   text        NOT NULL,
    start      numeric     NOT NULL,
    latest     numeric     NOT NULL,
    read_at    timestamptz NOT NULL DEFAULT now(),
    -- when the limit was reached and the kill switch was turned; once a day, for a person may lift it
    tripped_at timestamptz,
    PRIMARY KEY (exchange, account, day)
);
