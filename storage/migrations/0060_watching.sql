-- Orders that wait for a person are few, and counted every few seconds.
CREATE INDEX orders_quarantined ON orders (exchange) WHERE state = 'QUARANTINED';
