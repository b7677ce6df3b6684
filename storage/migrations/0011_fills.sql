-- What the exchange says was traded, fill by fill, and the positions that came of it.

CREATE TABLE fills (
    exchange          text        NOT NULL,
    fill_id           text        NOT NULL,
    request_id        text        NOT NULL,
    exchange_order_id text        NOT NULL,
    account           text        NOT NULL,
    symbol            text        NOT NULL,
    side              text        NOT NULL,
    price             numeric     NOT NULL CHECK (price > 0),
    quantity          numeric     NOT NULL CHECK (quantity > 0),
    fee               numeric     NOT NULL,  -- positive when paid
    fee_currency      text        NOT NULL,
    maker             boolean     NOT NULL,
    executed_at       timestamptz NOT NULL,
    recorded_at       timestamptz NOT NULL DEFAULT now(),
    -- an order may be filled by another of the same account: then both have the fill
    PRIMARY KEY (exchange, fill_id, exchange_order_id)
);

CREATE INDEX fills_by_order ON fills (request_id);

-- Each leg as the exchange showed it last; a leg that is not listed is flat.
CREATE TABLE positions (
    exchange    text        NOT NULL,
    account     text        NOT NULL,
    symbol      text        NOT NULL,
    leg         text        NOT NULL CHECK (leg IN ('LONG', 'SHORT')),
    quantity    numeric     NOT NULL CHECK (quantity > 0),
    entry_price numeric,
    leverage    numeric,
    read_at     timestamptz NOT NULL,
    PRIMARY KEY (exchange, account, symbol, leg)
);

-- When an order's fills are read next, and how often they were not all there.
ALTER TABLE orders
    ADD COLUMN fills_check_at timestamptz,
    ADD COLUMN fills_checks   integer NOT NULL DEFAULT 0;

CREATE INDEX orders_fills_due ON orders (fills_check_at) WHERE fills_check_at IS NOT NULL;
