-- Request limits that all replicas share: who may send when, and who must not send at all.

-- The slots of each limit. A ring holds the newest n slots, past and future, as milliseconds since
-- 1970, oldest first; the next k units fit a period after the k-th of them. `reserved` is for
-- closes and look-ups only. `units` and `period_ms` are what was last asked for, for people to read.
CREATE TABLE rate_buckets (
    bucket     text     PRIMARY KEY,
    units      integer  NOT NULL,
    period_ms  integer  NOT NULL,
    general    bigint[] NOT NULL DEFAULT '{}',
    reserved   bigint[] NOT NULL DEFAULT '{}'
) WITH (
    -- a few rows that change all the time: leave room beside them, clear up by number
    fillfactor = 20,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 500
);

-- Nothing leaves for a scope (an exchange's address, or one limit) before `until`.
CREATE TABLE rate_cooldowns (
    scope text        PRIMARY KEY,
    until timestamptz NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    why   text        NOT NULL
);

-- Workers that are alive, so that each knows its share should this database not answer.
CREATE TABLE rate_replicas (
    replica uuid        PRIMARY KEY,
    seen_at timestamptz NOT NULL
);

-- Bring a ring to its size. An unused slot was taken at the beginning of time.
CREATE FUNCTION rate_ring(ring bigint[], size integer) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    length integer := cardinality(ring);
BEGIN
    IF length > size THEN
        RETURN ring[length - size + 1 : length];
    ELSIF length < size THEN
        RETURN array_fill(0::bigint, ARRAY[size - length]) || ring;
    END IF;
    RETURN ring;
END $$;

-- Put so many units into a ring in place of its oldest.
CREATE FUNCTION rate_push(ring bigint[], units integer, at_ms bigint) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    length integer := cardinality(ring);
BEGIN
    IF ring[length] <= at_ms THEN
        RETURN ring[units + 1 : length] || array_fill(at_ms, ARRAY[units]);
    END IF;
    RETURN (ARRAY(
        SELECT one FROM unnest(ring || array_fill(at_ms, ARRAY[units])) AS one ORDER BY one
    ))[units + 1 : length + units];
END $$;

-- Take a slot for each of some requests, in the order given.
--
-- A request's needs lie beside each other in the first arrays, `request` says whose they are
-- (1, 2, …); the last three arrays have an element for each request. `moment_ms` takes the place of
-- the clock, for tests. Answers for each request how
-- long to wait, whether the slot is taken (if not, nothing was), whether that is for a cool-down,
-- and how many slots of each need lie in its period. `providers.limits.windows` is the same rule.
CREATE FUNCTION take_slots(
    request   integer[],
    bucket    text[],
    units     integer[],
    general   integer[],
    reserved  integer[],
    period_ms integer[],
    address   text[],
    urgent    boolean[],
    patience  integer[],
    moment_ms bigint DEFAULT NULL
) RETURNS TABLE (wait_ms bigint, taken boolean, cooling boolean, used integer[])
LANGUAGE plpgsql AS $$
DECLARE
    names    text[] := ARRAY(SELECT DISTINCT unnest(bucket) ORDER BY 1);
    now_ms   bigint;
    at_ms    bigint;
    first_ms bigint;
    ends     timestamptz;
    need     integer := 1;
    begins   integer;
    count_   integer;
    rings    rate_buckets;
BEGIN
    -- A slot that a crash of the server forgets was long ago when the server is back.
    PERFORM set_config('synchronous_commit', 'off', true);
    -- All rows at once and in one order for all replicas, so that none waits for another in a ring.
    PERFORM 1 FROM rate_buckets b WHERE b.bucket = ANY (names) ORDER BY b.bucket FOR UPDATE;
    GET DIAGNOSTICS count_ = ROW_COUNT;
    IF count_ < cardinality(names) THEN
        INSERT INTO rate_buckets (bucket, units, period_ms)
        SELECT name, 0, 0 FROM unnest(names) AS name ORDER BY name
        ON CONFLICT ON CONSTRAINT rate_buckets_pkey DO NOTHING;
        PERFORM 1 FROM rate_buckets b WHERE b.bucket = ANY (names) ORDER BY b.bucket FOR UPDATE;
    END IF;
    now_ms := coalesce(moment_ms, floor(extract(epoch FROM clock_timestamp()) * 1000));

    -- Slots half a minute ahead were taken before the clock was set back; they count as taken now.
    UPDATE rate_buckets b SET
        general = ARRAY(SELECT least(one, now_ms) FROM unnest(b.general) AS one ORDER BY 1),
        reserved = ARRAY(SELECT least(one, now_ms) FROM unnest(b.reserved) AS one ORDER BY 1)
    WHERE b.bucket = ANY (names) AND now_ms + 30000 < greatest(
        b.general[cardinality(b.general)], b.reserved[cardinality(b.reserved)]);

    FOR number IN 1 .. cardinality(address) LOOP
        begins := need;
        at_ms := now_ms;
        WHILE request[need] = number LOOP
            SELECT b.* INTO rings FROM rate_buckets b WHERE b.bucket = take_slots.bucket[need];
            rings.general := rate_ring(rings.general, general[need]);
            first_ms := rings.general[least(units[need], general[need])];
            IF urgent[number] AND units[need] <= reserved[need] THEN
                rings.reserved := rate_ring(rings.reserved, reserved[need]);
                first_ms := least(first_ms, rings.reserved[units[need]]);
            END IF;
            at_ms := greatest(at_ms, first_ms + period_ms[need]);
            need := need + 1;
        END LOOP;
        used := '{}';
        SELECT max(c.until) INTO ends FROM rate_cooldowns c
        WHERE c.until > clock_timestamp()
            AND (c.scope = address[number] OR c.scope = ANY (bucket[begins : need - 1]));
        cooling := ends IS NOT NULL;
        IF cooling THEN
            taken := false;
            wait_ms := ceil(extract(epoch FROM ends - clock_timestamp()) * 1000);
        ELSE
            wait_ms := at_ms - now_ms;
            taken := wait_ms <= patience[number];
        END IF;
        IF taken THEN
            FOR one IN begins .. need - 1 LOOP
                SELECT b.* INTO rings FROM rate_buckets b WHERE b.bucket = take_slots.bucket[one];
                rings.general := rate_ring(rings.general, general[one]);
                rings.reserved := rate_ring(rings.reserved, reserved[one]);
                count_ := least(units[one], general[one]);
                IF rings.general[count_] + period_ms[one] <= at_ms THEN
                    rings.general := rate_push(rings.general, count_, at_ms);
                ELSE
                    rings.reserved := rate_push(rings.reserved, units[one], at_ms);
                END IF;
                UPDATE rate_buckets b SET
                    units = take_slots.general[one] + take_slots.reserved[one],
                    period_ms = take_slots.period_ms[one],
                    general = rings.general,
                    reserved = rings.reserved
                WHERE b.bucket = take_slots.bucket[one];
                used := used || (
                    SELECT count(*)::integer FROM unnest(rings.general || rings.reserved) AS slot
                    WHERE slot > at_ms - take_slots.period_ms[one]
                );
            END LOOP;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;

-- Count units that somebody else has used of a limit just now.
CREATE FUNCTION charge_slots(
    name text, count_ integer, general_size integer, reserved_size integer, period integer
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    now_ms bigint := floor(extract(epoch FROM clock_timestamp()) * 1000);
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    INSERT INTO rate_buckets AS b (bucket, units, period_ms, general)
    VALUES (
        name, general_size + reserved_size, period,
        rate_push(rate_ring('{}', general_size), least(count_, general_size), now_ms)
    )
    ON CONFLICT (bucket) DO UPDATE SET
        general = rate_push(
            rate_ring(b.general, general_size), least(count_, general_size), now_ms);
END $$;
