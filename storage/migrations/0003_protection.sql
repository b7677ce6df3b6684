-- What of an order as it was sent is needed again after its fill, where the exchange takes no
-- take-profit or stop-loss with the order itself.
ALTER TABLE orders
    ADD COLUMN position_side text,
    ADD COLUMN take_profit   numeric,
    ADD COLUMN stop_loss     numeric;
