-- Version 5: targets that are paused on all nodes, jobs that are changed while they run, and how jobs have ended, where that is kept.
-- Nodes that know nothing of it claim what is paused, keep no end and take ids that are kept, and otherwise do all that is right by
-- triggers. What stands here alone was in a version before: the tables of each of them get it, too.
CREATE TABLE {s}.paused (target int PRIMARY KEY REFERENCES {s}.target);

-- Pause a target, or let it go on; 1: that is news.
CREATE FUNCTION {s}.pause_v1(name text, pauses boolean) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF pauses THEN
        INSERT INTO {s}.paused VALUES ({s}.target_of(pause_v1.name)) ON CONFLICT DO NOTHING;
    ELSE
        DELETE FROM {s}.paused p USING {s}.target t WHERE t.id = p.target AND t.name = pause_v1.name;
    END IF;
    IF FOUND AND EXISTS (SELECT FROM {s}.meta m WHERE m.name = 'notify') THEN
        PERFORM pg_notify('{n}', '-9223372036854775808');
        RETURN 1;
    END IF;
    RETURN FOUND::int;
END $$;

-- How jobs have ended that were to be kept: by their ids, which stay taken as long.
CREATE TABLE {s}.outcome (
    id uuid PRIMARY KEY, name text COLLATE "C",
    target int NOT NULL, state smallint NOT NULL,    -- 0 succeeded, 1 cancelled, 2 failed, 3 discarded, 4 interrupted
    key bigint,                                      -- under which the result is sealed
    ended bigint NOT NULL, until bigint NOT NULL,
    result bytea NOT NULL, error text NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX outcome_until ON {s}.outcome (until);

-- Until when the end of a job that carries this is kept; NULL: it is not. What it carries is as duewheel_model::carried encodes it.
CREATE FUNCTION {s}.kept_until_v1(carried bytea, ended bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    at bigint := 0;
    tag int;
    keep bigint;
BEGIN
    WHILE at < length(carried) LOOP
        tag := get_byte(carried, at::int);
        at := at + 1;
        IF tag = 2 THEN
            SELECT bit_or(get_byte(carried, at::int + n)::bigint << 8 * n) INTO keep FROM generate_series(0, 7) n;
            at := at + 8;
        ELSIF tag IN (1, 3) THEN
            -- Texts, each after its length: of a header its name, too.
            FOR part IN tag..3 BY 2 LOOP
                SELECT at + 4 + sum(get_byte(carried, at::int + n)::bigint << 8 * n) INTO at FROM generate_series(0, 3) n;
            END LOOP;
        ELSE
            RETURN NULL;
        END IF;
    END LOOP;
    RETURN CASE WHEN keep > 9223372036854775807 - ended THEN 9223372036854775807 ELSE ended + keep END;
EXCEPTION WHEN array_subscript_error OR numeric_value_out_of_range THEN
    RETURN NULL; -- it is damaged
END $$;

-- Keep how a job has ended that nobody else tells of, if that is asked for.
CREATE FUNCTION {s}.keep_v1(which uuid, name text, target int, carried bytea, state smallint, error text, ended bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE kept_until bigint := {s}.kept_until_v1(carried, ended);
BEGIN
    IF kept_until IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO {s}.outcome (id, name, target, state, ended, until, result, error)
    VALUES (which, keep_v1.name, keep_v1.target, keep_v1.state, keep_v1.ended, kept_until, '', keep_v1.error)
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, target = excluded.target, state = excluded.state, key = NULL,
        ended = excluded.ended, until = excluded.until, result = excluded.result, error = excluded.error;
END $$;

-- Refuse ids that are taken by ends that are kept at these times. Called when the jobs are inserted: an end that is committed while
-- that waits for its job is seen by then.
CREATE FUNCTION {s}.free_v1(ids uuid[], times bigint[]) RETURNS int LANGUAGE plpgsql AS $$
DECLARE taken uuid;
BEGIN
    SELECT o.id INTO taken FROM unnest(ids, times) x(id, now) JOIN {s}.outcome o ON o.id = x.id WHERE o.until > x.now LIMIT 1;
    IF FOUND THEN
        RAISE 'duplicate key value violates unique constraint "job_id"' USING ERRCODE = '23505',
            DETAIL = format('Key (id)=(%s) already exists: how a job has ended that had it is kept.', taken);
    END IF;
    RETURN 1;
END $$;

-- Of a job that was changed while it runs: when it comes once that has ended; the least bigint: at the due that it has then. Of
-- `flags`, 16: that is on the boot clock.
ALTER TABLE {s}.job ADD COLUMN follow bigint;

-- What was changed while it ran has ended, or is pending again: it comes as it is now, for whoever claims it.
CREATE FUNCTION {s}.follow_v1() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_over CONSTANT boolean := TG_OP = 'DELETE';
    r {s}.job := CASE WHEN is_over THEN OLD ELSE NEW END;
    is_moved CONSTANT boolean := OLD.follow > -9223372036854775808;
BEGIN
    IF is_moved THEN
        r.due := r.follow;
        r.job_due := r.follow;
        r.flags := (r.flags & ~1::smallint) | (r.flags >> 4 & 1::smallint);
    END IF;
    IF is_over THEN
        r.run := least(r.run + 1, 4294967295);
    END IF;
    -- A retry has another sequence; what is pending again as it was has the same run.
    IF is_over OR is_moved OR r.seq = OLD.seq AND r.run <> OLD.run THEN
        r.attempt := 1;
        r.first_start := NULL;
        r.interruptions := 0;
    END IF;
    r.seq := nextval('{l}.seq');
    r.owner := NULL;
    r.begun := NULL;
    r.flags := r.flags & 3::smallint;
    r.follow := NULL;
    r.repeat := NULL;
    r.standing := NULL;
    IF is_over THEN
        -- What follows is what ends.
        DELETE FROM {s}.outcome o WHERE o.id = r.id;
        INSERT INTO {s}.job SELECT r.*;
    ELSE
        UPDATE {s}.job j SET due = r.due, seq = r.seq, job_due = r.job_due, first_start = r.first_start, owner = NULL,
            attempt = r.attempt, interruptions = r.interruptions, flags = r.flags, follow = NULL
        WHERE j.id = r.id;
    END IF;
    IF EXISTS (SELECT FROM {s}.meta m WHERE m.name = 'notify') THEN
        PERFORM pg_notify('{n}', r.due::text);
    END IF;
    RETURN NULL;
END $$;

-- After each row, and not before: what is looked at before it is changed is locked by a record of its own.
CREATE TRIGGER job_over AFTER DELETE ON {s}.job FOR EACH ROW WHEN (OLD.follow IS NOT NULL) EXECUTE FUNCTION {s}.follow_v1();
CREATE TRIGGER job_pending AFTER UPDATE ON {s}.job FOR EACH ROW
    WHEN (OLD.follow IS NOT NULL AND OLD.begun IS NOT NULL AND NEW.begun IS NULL) EXECUTE FUNCTION {s}.follow_v1();

-- Take a job in, or make what has its id that job: in its place, or once it has ended where it runs. `runs`: it does on the node
-- of this epoch, whatever its row says. 0: it is new. 1: it was changed in its place. 3: another node holds it. 4: it is a repeat.
-- 5: it runs.
CREATE FUNCTION {s}.put_v1(who bigint, which uuid, target int, data bytea, key bigint, retry_limit bigint, age_limit bigint,
    min_backoff bigint, max_backoff bigint, flags smallint, carried bytea, name text, due bigint, seq bigint, created bigint,
    replaces boolean, runs boolean)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    was {s}.job;
BEGIN
    LOOP
        -- Who marks it now has done so, or has not.
        SELECT j.* INTO was FROM {s}.job j WHERE j.id = which FOR UPDATE;
        EXIT WHEN FOUND;
        INSERT INTO {s}.job (due, seq, id, created, job_due, target, retry_limit, age_limit, min_backoff, max_backoff, flags, key, name,
            data, carried)
        VALUES (put_v1.due, put_v1.seq, which, put_v1.created, put_v1.due, put_v1.target, put_v1.retry_limit, put_v1.age_limit,
            put_v1.min_backoff, put_v1.max_backoff, put_v1.flags, put_v1.key, put_v1.name, put_v1.data, put_v1.carried)
        ON CONFLICT (id) DO NOTHING;
        IF FOUND THEN
            PERFORM {s}.free_v1(ARRAY[which], ARRAY[put_v1.created]);
            RETURN 0;
        END IF;
    END LOOP;
    IF was.repeat IS NOT NULL OR was.flags & 8 <> 0 THEN
        RETURN 4;
    END IF;
    -- What has begun, or is to be started by a mark, waits for that of nobody.
    IF was.begun IS NULL AND NOT (runs AND was.owner IS NOT DISTINCT FROM who) THEN
        IF was.owner <> coalesce(who, 0) AND was.flags & 2 = 0 THEN
            RETURN 3;
        END IF;
        UPDATE {s}.job j SET owner = NULL,
            seq = CASE WHEN replaces OR was.owner <> coalesce(who, 0) THEN put_v1.seq ELSE j.seq END,
            due = CASE WHEN replaces THEN put_v1.due ELSE j.due END,
            job_due = CASE WHEN replaces THEN put_v1.due ELSE j.job_due END,
            attempt = CASE WHEN replaces THEN 1 ELSE j.attempt END,
            first_start = CASE WHEN replaces THEN NULL ELSE j.first_start END,
            interruptions = CASE WHEN replaces THEN 0 ELSE j.interruptions END,
            flags = CASE WHEN replaces THEN put_v1.flags ELSE (j.flags & 1::smallint) | (put_v1.flags & 2::smallint) END,
            target = put_v1.target, data = put_v1.data, key = put_v1.key, retry_limit = put_v1.retry_limit,
            age_limit = put_v1.age_limit, min_backoff = put_v1.min_backoff, max_backoff = put_v1.max_backoff,
            carried = put_v1.carried
        WHERE j.id = which;
        RETURN 1;
    END IF;
    UPDATE {s}.job j SET begun = coalesce(j.begun, {s}.now_ns()),
        follow = CASE WHEN replaces THEN put_v1.due ELSE coalesce(j.follow, -9223372036854775808) END,
        flags = CASE WHEN replaces THEN (j.flags & 1::smallint) | ((put_v1.flags & 1::smallint) << 4)
            ELSE j.flags & 17::smallint END | (put_v1.flags & 2::smallint),
        target = put_v1.target, data = put_v1.data, key = put_v1.key, retry_limit = put_v1.retry_limit,
        age_limit = put_v1.age_limit, min_backoff = put_v1.min_backoff, max_backoff = put_v1.max_backoff,
        carried = put_v1.carried
    WHERE j.id = which;
    RETURN 5;
END $$;

-- What a node declares, for others to compare with theirs.
ALTER TABLE {s}.declared ADD COLUMN said text;

-- Schedule in the transaction of a caller, who has resolved all options; `due` is a time of the wall clock, or with
-- `boot` a delay from now; `carried` is what few jobs carry beside their data.
CREATE OR REPLACE FUNCTION {s}.schedule_v2(target text, due bigint, boot boolean, data bytea, id text, retry_limit bigint,
    min_backoff bigint, max_backoff bigint, age_limit bigint, at_most_once boolean, carried bytea)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    now bigint := {s}.now_ns();
    at bigint := CASE WHEN boot THEN now + due ELSE due END;
    row_id uuid;
BEGIN
    IF target IS NULL OR octet_length(target) NOT BETWEEN 1 AND 255 THEN
        RAISE 'target must be a text of 1 to 255 bytes' USING ERRCODE = '22023';
    END IF;
    IF octet_length(id) NOT BETWEEN 1 AND 255 THEN
        RAISE 'id must be a text of 1 to 255 bytes' USING ERRCODE = '22023';
    END IF;
    row_id := CASE WHEN id IS NOT NULL THEN {s}.key_of(id) ELSE encode(
        substr(int8send((now / 1000000) << 16 | 28672 | (random() * 4095)::int), 1, 8) ||
        substr(uuid_send(gen_random_uuid()), 9, 8), 'hex')::uuid END;
    INSERT INTO {s}.job (due, seq, id, created, job_due, target, flags, retry_limit, min_backoff, max_backoff, age_limit, name, data,
        carried)
    VALUES (at, nextval('{l}.seq'), row_id, now, at, {s}.target_of(schedule_v2.target),
        CASE WHEN boot THEN 1 ELSE 0 END | CASE WHEN at_most_once THEN 2 ELSE 0 END, schedule_v2.retry_limit,
        schedule_v2.min_backoff, schedule_v2.max_backoff, schedule_v2.age_limit,
        CASE WHEN row_id::text = id THEN NULL ELSE id END, schedule_v2.data, schedule_v2.carried);
    IF id IS NOT NULL THEN
        PERFORM {s}.free_v1(ARRAY[row_id], ARRAY[now]);
    END IF;
    IF EXISTS (SELECT FROM {s}.meta m WHERE m.name = 'notify') THEN
        PERFORM pg_notify('{n}', at::text);
    END IF;
    RETURN coalesce(id, row_id::text);
END $$;

-- The same of a job that carries nothing.
CREATE OR REPLACE FUNCTION {s}.schedule_v1(target text, due bigint, boot boolean, data bytea, id text, retry_limit bigint,
    min_backoff bigint, max_backoff bigint, age_limit bigint, at_most_once boolean)
RETURNS text LANGUAGE sql AS $$
    SELECT {s}.schedule_v2(target, due, boot, data, id, retry_limit, min_backoff, max_backoff, age_limit, at_most_once, NULL)
$$;

-- Schedule a repeat in the transaction of a caller, who has found its first time. One that is there and is the same stays as it is.
CREATE OR REPLACE FUNCTION {s}.repeat_v1(target text, due bigint, data bytea, id text, retry_limit bigint, min_backoff bigint,
    max_backoff bigint, age_limit bigint, at_most_once boolean, repeat text, standing bytea)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    row_id CONSTANT uuid := {s}.key_of(id);
    flagged CONSTANT smallint := CASE WHEN at_most_once THEN 2 ELSE 0 END;
BEGIN
    INSERT INTO {s}.job (due, seq, id, created, job_due, owner, target, flags, retry_limit, min_backoff, max_backoff, age_limit,
        name, repeat, standing, data)
    VALUES (repeat_v1.due, nextval('{l}.seq'), row_id, {s}.now_ns(), repeat_v1.due, 0, {s}.target_of(repeat_v1.target), flagged,
        repeat_v1.retry_limit, repeat_v1.min_backoff, repeat_v1.max_backoff, repeat_v1.age_limit,
        CASE WHEN row_id::text = repeat_v1.id THEN NULL ELSE repeat_v1.id END, repeat_v1.repeat, repeat_v1.standing, repeat_v1.data)
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        PERFORM {s}.free_v1(ARRAY[row_id], ARRAY[{s}.now_ns()]);
    ELSIF NOT EXISTS (
        SELECT FROM {s}.job j JOIN {s}.target t ON t.id = j.target
        WHERE j.id = row_id AND t.name = repeat_v1.target AND j.repeat = repeat_v1.repeat AND j.key IS NULL AND j.data = repeat_v1.data
            AND j.flags & 2 = flagged AND j.min_backoff = repeat_v1.min_backoff AND j.max_backoff = repeat_v1.max_backoff
            AND j.retry_limit IS NOT DISTINCT FROM repeat_v1.retry_limit
            AND j.age_limit IS NOT DISTINCT FROM repeat_v1.age_limit)
    THEN
        RAISE 'duplicate key value violates unique constraint "job_id"' USING ERRCODE = '23505',
            DETAIL = 'Another job has this id; a repeat is changed outside of a transaction.';
    END IF;
    RETURN id;
END $$;

-- Withdraw a job, and keep that where it is asked for. 1: it will not start. 2: it is a repeat that runs, and ends with that.
-- 3: another node holds it.
CREATE FUNCTION {s}.withdraw_v1(which uuid, who bigint, at bigint) RETURNS int LANGUAGE plpgsql AS $$
DECLARE was record;
BEGIN
    -- Who marks it now has done so, or has not.
    PERFORM FROM {s}.job j WHERE j.id = which FOR UPDATE;
    DELETE FROM {s}.job j WHERE j.id = which AND j.begun IS NULL
        AND (j.owner IS NULL OR j.owner = who OR j.flags & 2 <> 0 OR j.repeat IS NOT NULL)
    RETURNING j.name, j.target, j.repeat, j.carried INTO was;
    IF FOUND THEN
        IF was.carried IS NOT NULL AND was.repeat IS NULL THEN
            PERFORM {s}.keep_v1(which, was.name, was.target, was.carried, 1::smallint, '', at);
        END IF;
        RETURN 1;
    END IF;
    UPDATE {s}.job j SET repeat = NULL, standing = NULL, flags = j.flags | 8 WHERE j.id = which AND j.repeat IS NOT NULL;
    IF FOUND THEN
        RETURN 2;
    END IF;
    RETURN CASE WHEN EXISTS (SELECT FROM {s}.job j WHERE j.id = which AND j.begun IS NULL AND j.owner <> who) THEN 3 ELSE 0 END;
END $$;

-- The same, now.
CREATE OR REPLACE FUNCTION {s}.cancel_v1(which uuid, who bigint) RETURNS int LANGUAGE sql AS
$$ SELECT {s}.withdraw_v1(which, who, {s}.now_ns()) $$;

-- True: it will not start, or not again.
CREATE OR REPLACE FUNCTION {s}.cancel(id text) RETURNS boolean LANGUAGE sql AS
$$ SELECT {s}.withdraw_v1({s}.key_of(cancel.id), NULL, {s}.now_ns()) IN (1, 2) $$;

-- As withdraw_v1, and beside it in the upper bits the target of what was withdrawn.
CREATE FUNCTION {s}.cancel_v2(which uuid, who bigint, at bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE of bigint := (SELECT j.target FROM {s}.job j WHERE j.id = which);
BEGIN
    RETURN coalesce(of, 0) << 4 | {s}.withdraw_v1(which, who, at);
END $$;

-- Make the newest dead job of an id pending; 0: there is none. What is kept of its death is forgotten.
CREATE FUNCTION {s}.revive_v1(which uuid, who bigint, due bigint, seq bigint, flags smallint) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    WITH d AS (DELETE FROM {s}.dead WHERE number = (SELECT max(number) FROM {s}.dead WHERE id = which) RETURNING *)
    INSERT INTO {s}.job (due, seq, id, created, job_due, age_limit, min_backoff, max_backoff, owner, target, run, retry_limit, flags,
        key, name, data, carried)
    SELECT revive_v1.due, revive_v1.seq, d.id, d.created, d.job_due, d.age_limit, d.min_backoff, d.max_backoff, who, d.target,
        least(d.run + 1, 4294967295), d.retry_limit, d.flags & ~1::smallint | revive_v1.flags, d.key, d.name, d.data, d.carried
    FROM d;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    DELETE FROM {s}.outcome o WHERE o.id = which AND o.state > 1;
    RETURN {s}.free_v1(ARRAY[which], ARRAY[revive_v1.due]);
END $$;

-- Take from a lease that is over up to so many of its jobs; how many. What had begun was interrupted, unless
-- its node ended in order: again with the next run, or dead, as duewheel_model::outcome::after says.
CREATE OR REPLACE FUNCTION {s}.rescue_v1(lost bigint, most bigint, interrupts boolean, limited int)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    until_due bigint;
    tids tid[];
    died CONSTANT bigint := {s}.now_ns();
    said CONSTANT text := CASE WHEN interrupts THEN 'its node was lost while it ran, or was about to' ELSE 'its node ended before it did' END;
BEGIN
    -- One node at a time.
    SELECT claimed_until INTO until_due FROM {s}.node WHERE epoch = lost AND lease_until = '-infinity' FOR UPDATE SKIP LOCKED;
    IF until_due IS NULL THEN
        RETURN 0;
    END IF;
    SELECT array_agg(r.ctid) INTO tids FROM (
        SELECT x.ctid FROM {s}.target t CROSS JOIN LATERAL (
            SELECT j.ctid FROM {s}.job j WHERE j.target = t.id AND j.due <= until_due AND j.owner = lost
            LIMIT limited FOR UPDATE) x
        LIMIT limited) r;
    IF tids IS NULL THEN
        UPDATE {s}.node SET claimed_until = -9223372036854775808 WHERE epoch = lost;
        RETURN 0;
    END IF;
    INSERT INTO {s}.dead (due, seq, id, created, job_due, first_start, age_limit, min_backoff, max_backoff, begun,
        target, attempt, run, interruptions, retry_limit, flags, key, name, repeat, standing, data, carried, reason, died, error)
    SELECT due, seq, id, created, job_due, first_start, age_limit, min_backoff, max_backoff, begun,
        target, attempt, run, interruptions + interrupts::int, retry_limit, flags, key, name, repeat, standing, data, carried, 2, died, said
    FROM {s}.job WHERE ctid = ANY(tids) AND {s}.dies_v1(begun, flags, interruptions, most, interrupts);
    PERFORM {s}.keep_v1(j.id, j.name, j.target, j.carried, 4::smallint, said, died) FROM {s}.job j
    WHERE j.ctid = ANY(tids) AND j.repeat IS NULL AND j.carried IS NOT NULL
        AND {s}.dies_v1(j.begun, j.flags, j.interruptions, most, interrupts);
    DELETE FROM {s}.job WHERE ctid = ANY(tids) AND repeat IS NULL AND {s}.dies_v1(begun, flags, interruptions, most, interrupts);
    -- What of a repeat dies is its occurrence.
    UPDATE {s}.job SET owner = 0, begun = NULL, run = least(run + 1, 4294967295), interruptions = 0, attempt = 1,
        first_start = NULL, standing = {s}.spent_v1(standing, NULL)
    WHERE ctid = ANY(tids) AND {s}.dies_v1(begun, flags, interruptions, most, interrupts);
    UPDATE {s}.job SET owner = CASE WHEN repeat IS NOT NULL THEN 0 END, begun = NULL,
        run = least(run + (begun IS NOT NULL)::int, 4294967295),
        interruptions = interruptions + (begun IS NOT NULL AND interrupts)::int, first_start = coalesce(first_start, begun)
    WHERE ctid = ANY(tids) AND owner = lost;
    RETURN cardinality(tids);
END $$;

UPDATE {s}.meta SET value = 5 WHERE name = 'schema';
