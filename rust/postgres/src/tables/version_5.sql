-- Version 5: targets that are paused on all nodes, and jobs that are changed while they run. Nodes that know nothing of it claim
-- what is paused, and otherwise do all that is right by triggers.
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

-- As cancel_v1, and beside it in the upper bits the target of what was withdrawn.
CREATE FUNCTION {s}.cancel_v2(which uuid, who bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE of bigint := (SELECT j.target FROM {s}.job j WHERE j.id = which);
BEGIN
    RETURN coalesce(of, 0) << 4 | {s}.cancel_v1(which, who);
END $$;

UPDATE {s}.meta SET value = 5 WHERE name = 'schema';
