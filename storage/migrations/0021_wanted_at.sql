-- Since when an order is wanted, by this clock: since it was first claimed, or since a replay took it
-- up again. What was wanted before a kill switch was lifted is not sent by itself afterwards.
ALTER TABLE orders ADD COLUMN wanted_at timestamptz NOT NULL DEFAULT now();
UPDATE orders SET wanted_at = received_at;
