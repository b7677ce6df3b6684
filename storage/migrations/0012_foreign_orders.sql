-- Orders that an account shows and that no intent of ours is behind. Reported, never touched.
CREATE TABLE foreign_orders (
    exchange          text        NOT NULL,
    exchange_order_id text        NOT NULL,
    account           text        NOT NULL,
    client_order_id   text        NOT NULL,
    symbol            text        NOT NULL,
    side              text        NOT NULL,
    quantity          numeric     NOT NULL,
    filled_quantity   numeric     NOT NULL,
    -- 'foreign': somebody else's; 'extra': under our own kind of id, more than we intended
    kind              text        NOT NULL CHECK (kind IN ('foreign', 'extra')),
    why               text        NOT NULL,
    first_seen        timestamptz NOT NULL DEFAULT now(),
    last_seen         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (exchange, exchange_order_id)
);
