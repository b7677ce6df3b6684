-- Orders that are ready when they arrive, by statements that are made for them: claim.sql does all that
-- can be the case, and a plan of that size costs as much to set up as all it then does.

-- A slot that is kept for what is urgent is lent again once so long has passed since it was lent last
-- (`lent_ms`; before: since it was used last, so that hardly anything was lent while closes used it too).
ALTER TABLE rate_buckets ADD COLUMN lent bigint NOT NULL DEFAULT 0;

CREATE OR REPLACE FUNCTION find_slots(
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
    names    text[] := '{}';
    places   integer[];  -- of each need's bucket in `names`
    complete boolean;
    kept     rate_buckets[];
    changed  boolean[];
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
    LOOP
        -- All rows at once and in one order for all replicas, so that none waits for another in a ring.
        kept := ARRAY(
            SELECT b FROM rate_buckets b
            WHERE b.bucket = ANY (find_slots.bucket) ORDER BY b.bucket FOR UPDATE);
        FOR one IN 1 .. cardinality(kept) LOOP
            names[one] := kept[one].bucket;
        END LOOP;
        complete := true;
        FOR one IN 1 .. cardinality(bucket) LOOP
            places[one] := array_position(names, bucket[one]);
            complete := complete AND places[one] IS NOT NULL;
        END LOOP;
        EXIT WHEN complete;
        INSERT INTO rate_buckets (bucket, units, period_ms)
        SELECT DISTINCT name, 0, 0 FROM unnest(find_slots.bucket) AS name ORDER BY name
        ON CONFLICT ON CONSTRAINT rate_buckets_pkey DO NOTHING;
    END LOOP;
    changed := array_fill(false, ARRAY[cardinality(names)]);
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
            ring.lent := least(ring.lent, now_ms);
            kept[one] := ring;
            changed[one] := true;
        END IF;
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
                OR lent_ms[need] > 0 AND ring.lent + lent_ms[need] <= now_ms
                    AND ring.reserved[units[need]] + period_ms[need] <= now_ms
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
                    IF NOT urgent[number] THEN
                        ring.lent := at_ms;
                    END IF;
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
                reserved = ring.reserved,
                lent = ring.lent
            WHERE b.bucket = ring.bucket;
        END IF;
    END LOOP;
END $$;

-- Claim new orders whose lanes are ours or free, take their request slots, and enter them as about to
-- be sent. Gives those that are entered now. An order that is known, has no slot now, or goes to a lane
-- that somebody else has or asked for is left as it was, and so are all if we do not certainly count
-- as alive for long enough; what is to become of them is for claim.sql.
--
-- `wanted` has an object for each order, no lane twice; `slot` is its number among those that need
-- request slots, for which find_slots is asked with what follows. Locks are taken in one order by all
-- replicas, lanes, slots, orders, and no lane that another may hold is waited for.
CREATE FUNCTION begin_ready(
    me          uuid,
    lease       interval,
    send_within interval,
    wanted      jsonb,
    request     integer[],
    bucket      text[],
    units       integer[],
    general     integer[],
    reserved    integer[],
    period_ms   integer[],
    lent_ms     integer[],
    address     text[],
    urgent      boolean[]
) RETURNS TABLE (
    request_id text, begun_at timestamptz, lane_fence bigint, slot_used integer[], slot_at_s float8
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    got   lanes[];
    lane  lanes;
    used  text[];  -- by each request, as an array's text; NULL if it has no slot
    found float8;
BEGIN
    got := ARRAY(
        SELECT l
        FROM jsonb_to_recordset(wanted) AS i (request_id text, exchange text, account text, symbol text)
        JOIN lanes l USING (exchange, account, symbol)
        WHERE (l.owner = me OR l.owner IS NULL AND (
                l.wanted_by IS NULL OR l.wanted_by = me OR l.wanted_until < now()))
          AND NOT EXISTS (SELECT FROM orders o WHERE o.request_id = i.request_id)
          AND EXISTS (
              SELECT FROM workers w WHERE w.owner = me AND w.alive_until >= now() + send_within)
        FOR NO KEY UPDATE OF l SKIP LOCKED
    );
    FOR one IN 1 .. cardinality(got) LOOP
        IF got[one].owner IS NULL THEN
            UPDATE lanes l SET
                owner = me,
                fence = l.fence + 1,
                taken_at = now(),
                wanted_by = NULL,
                wanted_until = NULL
            WHERE l.exchange = got[one].exchange
              AND l.account = got[one].account
              AND l.symbol = got[one].symbol
            RETURNING l.* INTO lane;
            got[one] := lane;
        END IF;
    END LOOP;
    IF cardinality(address) > 0 AND cardinality(got) = jsonb_array_length(wanted) THEN
        used := ARRAY(
            SELECT CASE WHEN s.taken THEN s.used::text END
            FROM find_slots(
                request, bucket, units, general, reserved, period_ms, lent_ms, address, urgent,
                array_fill(0, ARRAY[cardinality(address)])
            ) AS s
        );
        found := extract(epoch FROM clock_timestamp());
    END IF;
    RETURN QUERY
    WITH ready AS MATERIALIZED (
        SELECT i.*, l.fence AS lane_fence, used[i.slot]::integer[] AS slot_used
        FROM jsonb_to_recordset(wanted) AS i (
            request_id text, client_order_id text, fingerprint bytea, payload jsonb, exchange text,
            account text, symbol text, action text, quantity numeric, price numeric,
            queued_at timestamptz, received_at timestamptz, side text, order_type text,
            order_quantity numeric, order_price numeric, reduce_only boolean, position_side text,
            take_profit numeric, stop_loss numeric, may_land_for interval, checked jsonb, slot integer
        )
        JOIN unnest(got) AS l USING (exchange, account, symbol)
        WHERE i.slot IS NULL OR used[i.slot] IS NOT NULL
    ), entered AS (
        INSERT INTO orders AS o (
            request_id, client_order_id, fingerprint, payload, exchange, account, symbol,
            action, quantity, price, queued_at, received_at, owner, lease_until,
            state, sends, side, order_type, order_quantity, order_price, reduce_only,
            position_side, take_profit, stop_loss, intended_at, may_land_until
        )
        SELECT
            i.request_id, i.client_order_id, i.fingerprint, i.payload, i.exchange, i.account,
            i.symbol, i.action, i.quantity, i.price, i.queued_at, i.received_at, me, now() + lease,
            'SENDING', 1, i.side, i.order_type, i.order_quantity, i.order_price, i.reduce_only,
            i.position_side, i.take_profit, i.stop_loss, now(), now() + i.may_land_for
        FROM ready i
        ON CONFLICT (request_id) DO NOTHING
        RETURNING o.request_id
    ), event AS (
        INSERT INTO order_events
            (request_id, before_state, after_state, fence, attempt, owner, detail)
        SELECT e.request_id, s.before, s.after, 1, 1, me, CASE WHEN s.step = 2 THEN
            coalesce(i.checked, '{}') || jsonb_strip_nulls(jsonb_build_object(
                'exchange', i.exchange, 'side', i.side, 'order_type', i.order_type,
                'quantity', i.order_quantity, 'price', i.order_price, 'reduce_only', i.reduce_only,
                'position_side', i.position_side, 'take_profit', i.take_profit,
                'stop_loss', i.stop_loss))
            END
        FROM entered e JOIN ready i USING (request_id)
        CROSS JOIN (VALUES (1, NULL, 'RECEIVED'), (2, 'RECEIVED', 'SENDING')) AS s (step, before, after)
        ORDER BY e.request_id, s.step
    )
    SELECT e.request_id, now(), i.lane_fence, i.slot_used, found
    FROM entered e JOIN ready i USING (request_id);
END $$;
