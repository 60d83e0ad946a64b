-- Version 4: what few jobs carry beside their data, `duewheel_model::carried`. Nodes that know nothing of it leave it as it is, but
-- for the dead that they bury.
ALTER TABLE {s}.job ADD COLUMN carried bytea;
ALTER TABLE {s}.dead ADD COLUMN carried bytea;

-- Take from a lease that is over up to so many of its jobs; how many. What had begun was interrupted, unless
-- its node ended in order: again with the next run, or dead, as duewheel_model::outcome::after says. It stands here alone: the
-- tables of every version before get this one, too.
CREATE OR REPLACE FUNCTION {s}.rescue_v1(lost bigint, most bigint, interrupts boolean, limited int)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    until_due bigint;
    tids tid[];
    died bigint := {s}.now_ns();
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
        target, attempt, run, interruptions + interrupts::int, retry_limit, flags, key, name, repeat, standing, data, carried, 2, died,
        CASE WHEN interrupts THEN 'its node was lost while it ran, or was about to' ELSE 'its node ended before it did' END
    FROM {s}.job WHERE ctid = ANY(tids) AND {s}.dies_v1(begun, flags, interruptions, most, interrupts);
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

-- As schedule_v1, for a job that carries more than its data. Nobody sees it before the end of the caller's transaction.
CREATE FUNCTION {s}.schedule_v2(target text, due bigint, boot boolean, data bytea, id text, retry_limit bigint,
    min_backoff bigint, max_backoff bigint, age_limit bigint, at_most_once boolean, carried bytea)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE made text := {s}.schedule_v1(target, due, boot, data, id, retry_limit, min_backoff, max_backoff, age_limit, at_most_once);
BEGIN
    UPDATE {s}.job j SET carried = schedule_v2.carried WHERE j.id = {s}.key_of(made);
    RETURN made;
END $$;

-- The same of repeat_v1.
CREATE FUNCTION {s}.repeat_v2(target text, due bigint, data bytea, id text, retry_limit bigint, min_backoff bigint,
    max_backoff bigint, age_limit bigint, at_most_once boolean, repeat text, standing bytea, carried bytea)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE made text := {s}.repeat_v1(target, due, data, id, retry_limit, min_backoff, max_backoff, age_limit, at_most_once, repeat, standing);
BEGIN
    UPDATE {s}.job j SET carried = repeat_v2.carried
    WHERE j.id = {s}.key_of(made) AND j.carried IS DISTINCT FROM repeat_v2.carried;
    RETURN made;
END $$;

UPDATE {s}.meta SET value = 4 WHERE name = 'schema';
