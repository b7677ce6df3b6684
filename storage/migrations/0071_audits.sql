-- When each account is looked at next, by whichever worker comes first, so that many workers ask
-- the exchange no more often than one; and up to when its finished orders were seen.
CREATE TABLE audits (
    exchange   text        NOT NULL,
    account    text        NOT NULL,
    look       text        NOT NULL CHECK (look IN ('open', 'recent')),
    next_at    timestamptz NOT NULL,
    seen_until timestamptz,
    PRIMARY KEY (exchange, account, look)
);
