-- An order that is ready when it arrives is claimed, given its request slot and entered as about to be
-- sent by one statement, so slots must be had without what `take_slots` does besides: not to wait for
-- the disk. See migration 0061 for the rule; new is that a slot which is kept for what is urgent is lent
-- once it was free for so long (`lent_ms` after it was used last, 0 never), but never booked ahead.
CREATE FUNCTION find_slots(
    request   integer[],
    bucket    text[],
    units     integer[],
    general   integer[],
    reserved  integer[],
    period_ms integer[],
    lent_ms   integer[],
    address   text[],
    urgent    boolean[],
    patience  integer[],
    moment_ms bigint DEFAULT NULL
) RETURNS TABLE (wait_ms bigint, taken boolean, cooling boolean, used integer[])
LANGUAGE plpgsql AS $$
DECLARE
    names    text[] := ARRAY(SELECT DISTINCT unnest(bucket) ORDER BY 1);
    places   integer[];  -- of each need's bucket in `names`
    kept     rate_buckets[];
    changed  boolean[] := array_fill(false, ARRAY[cardinality(names)]);
    ring     rate_buckets;
    now_ms   bigint;
    at_ms    bigint;
    first_ms bigint;
    since_ms bigint;
    shut     boolean;
    ends     timestamptz;
    need     integer := 1;
    begins   integer;
    count_   integer;
BEGIN
    -- All rows at once and in one order for all replicas, so that none waits for another in a ring.
    kept := ARRAY(
        SELECT b FROM rate_buckets b WHERE b.bucket = ANY (names) ORDER BY b.bucket FOR UPDATE);
    IF cardinality(kept) < cardinality(names) THEN
        INSERT INTO rate_buckets (bucket, units, period_ms)
        SELECT name, 0, 0 FROM unnest(names) AS name ORDER BY name
        ON CONFLICT ON CONSTRAINT rate_buckets_pkey DO NOTHING;
        kept := ARRAY(
            SELECT b FROM rate_buckets b WHERE b.bucket = ANY (names) ORDER BY b.bucket FOR UPDATE);
    END IF;
    now_ms := coalesce(moment_ms, floor(extract(epoch FROM clock_timestamp()) * 1000));
    shut := EXISTS (SELECT FROM rate_cooldowns c WHERE c.until > clock_timestamp());

    -- Slots half a minute ahead were taken before the clock was set back; they count as taken now.
    FOR one IN 1 .. cardinality(names) LOOP
        ring := kept[one];
        IF now_ms + 30000 < greatest(
            ring.general[cardinality(ring.general)], ring.reserved[cardinality(ring.reserved)])
        THEN
            ring.general := ARRAY(SELECT least(slot, now_ms) FROM unnest(ring.general) AS slot ORDER BY 1);
            ring.reserved := ARRAY(SELECT least(slot, now_ms) FROM unnest(ring.reserved) AS slot ORDER BY 1);
            kept[one] := ring;
            changed[one] := true;
        END IF;
    END LOOP;
    FOR one IN 1 .. cardinality(bucket) LOOP
        places[one] := array_position(names, bucket[one]);
    END LOOP;

    FOR number IN 1 .. cardinality(address) LOOP
        begins := need;
        at_ms := now_ms;
        WHILE request[need] = number LOOP
            ring := kept[places[need]];
            IF cardinality(ring.general) <> general[need] THEN
                ring.general := rate_ring(ring.general, general[need]);
                kept[places[need]] := ring;
                changed[places[need]] := true;
            END IF;
            IF cardinality(ring.reserved) <> reserved[need] THEN
                ring.reserved := rate_ring(ring.reserved, reserved[need]);
                kept[places[need]] := ring;
                changed[places[need]] := true;
            END IF;
            first_ms := ring.general[least(units[need], general[need])];
            IF units[need] <= reserved[need] AND (
                urgent[number]
                OR lent_ms[need] > 0 AND ring.reserved[units[need]] + lent_ms[need] <= now_ms
            ) THEN
                first_ms := least(first_ms, ring.reserved[units[need]]);
            END IF;
            at_ms := greatest(at_ms, first_ms + period_ms[need]);
            need := need + 1;
        END LOOP;
        used := '{}';
        ends := NULL;
        IF shut THEN
            SELECT max(c.until) INTO ends FROM rate_cooldowns c
            WHERE c.until > clock_timestamp()
                AND (c.scope = address[number] OR c.scope = ANY (bucket[begins : need - 1]));
        END IF;
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
                ring := kept[places[one]];
                count_ := least(units[one], general[one]);
                IF ring.general[count_] + period_ms[one] <= at_ms THEN
                    ring.general := rate_push(ring.general, count_, at_ms);
                ELSE
                    ring.reserved := rate_push(ring.reserved, units[one], at_ms);
                END IF;
                ring.units := general[one] + reserved[one];
                ring.period_ms := find_slots.period_ms[one];
                kept[places[one]] := ring;
                changed[places[one]] := true;
                since_ms := at_ms - find_slots.period_ms[one];
                used := used || general[one] + reserved[one]
                    - width_bucket(since_ms, ring.general) - width_bucket(since_ms, ring.reserved);
            END LOOP;
        END IF;
        RETURN NEXT;
    END LOOP;

    FOR one IN 1 .. cardinality(names) LOOP
        IF changed[one] THEN
            ring := kept[one];
            UPDATE rate_buckets b SET
                units = ring.units,
                period_ms = ring.period_ms,
                general = ring.general,
                reserved = ring.reserved
            WHERE b.bucket = ring.bucket;
        END IF;
    END LOOP;
END $$;

CREATE FUNCTION take_slots(
    request   integer[],
    bucket    text[],
    units     integer[],
    general   integer[],
    reserved  integer[],
    period_ms integer[],
    lent_ms   integer[],
    address   text[],
    urgent    boolean[],
    patience  integer[],
    moment_ms bigint DEFAULT NULL
) RETURNS TABLE (wait_ms bigint, taken boolean, cooling boolean, used integer[])
LANGUAGE plpgsql AS $$
BEGIN
    -- A slot that a crash of the server forgets was long ago when the server is back.
    PERFORM set_config('synchronous_commit', 'off', true);
    RETURN QUERY SELECT * FROM find_slots(
        request, bucket, units, general, reserved, period_ms, lent_ms, address, urgent, patience, moment_ms
    );
END $$;

-- What workers of the version before call, while both run.
CREATE OR REPLACE FUNCTION take_slots(
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
LANGUAGE SQL AS $$
    SELECT * FROM take_slots(
        request, bucket, units, general, reserved, period_ms,
        array_fill(0, ARRAY[cardinality(bucket)]), address, urgent, patience, moment_ms)
$$;

-- Rings are written with every request. Compressed, or kept apart, that takes half as long again; they
-- have 400 slots at most, which fit into a page.
ALTER TABLE rate_buckets
    ALTER general SET STORAGE PLAIN,
    ALTER reserved SET STORAGE PLAIN;
