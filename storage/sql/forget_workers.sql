-- Clear away workers that ended a day ago without a word; their lanes first, which name them.
WITH old AS (
    SELECT owner FROM workers WHERE alive_until < now() - interval '1 day'
), freed AS (
    UPDATE lanes l SET owner = NULL FROM old WHERE l.owner = old.owner
)
DELETE FROM workers w USING old WHERE w.owner = old.owner
