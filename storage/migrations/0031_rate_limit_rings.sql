-- A ring is small enough for its page: compressing it at every step would cost more than it saves.
ALTER TABLE rate_buckets
    ALTER COLUMN general SET STORAGE PLAIN,
    ALTER COLUMN reserved SET STORAGE PLAIN;
