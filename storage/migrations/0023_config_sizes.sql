-- No key or value is so long that reading it would hold up every worker. What is there already stays;
-- workers read no more than the beginning of it, and hold what it is about.
ALTER TABLE config ADD CONSTRAINT config_sizes
    CHECK (octet_length(key) <= 200 AND octet_length(value) <= 20000) NOT VALID;
