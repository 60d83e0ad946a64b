-- Version 2: repeats that nodes share, and what nodes ask each other for. A repeat that no node has is of owner 0, so that nodes
-- which know nothing of repeats over nodes leave it alone. Of `flags`, 4: it was amended while it ran, 8: it was cancelled while it ran.
-- `standing` is as in docs/store.md: of its first byte 2 is triggered, 8 paused, 16 declared, 32 spent.
CREATE TABLE {s}.declared (                          -- which node declares which repeat
    epoch bigint NOT NULL REFERENCES {s}.node ON DELETE CASCADE, id uuid NOT NULL,
    PRIMARY KEY (epoch, id)
);
CREATE INDEX declared_id ON {s}.declared (id);
-- What nodes ask each other for: a job that another holds, to cancel or to move it.
CREATE TABLE {s}.wanted (
    id uuid, asker bigint,                           -- the epoch that asks
    owner bigint NOT NULL,                           -- the epoch that held it then
    PRIMARY KEY (id, asker)
);
-- What it is about never changes with a claim or a mark.
CREATE INDEX job_repeat ON {s}.job (due, seq) WHERE repeat IS NOT NULL;

-- How far a repeat has come whose occurrence has ended, and that was amended meanwhile; `ended`: what was found without that.
CREATE FUNCTION {s}.spent_v1(standing bytea, ended bytea)
RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN ended IS NULL THEN set_byte(standing, 0, get_byte(standing, 0) | 32)
    ELSE set_byte(overlay(standing PLACING substr(ended, 58, 8) FROM 58), 0,
        (get_byte(standing, 0) & 254) | 32 | (get_byte(ended, 0) & 1)
        | CASE WHEN get_byte(standing, 0) & 2 = 0 THEN get_byte(ended, 0) & 8 ELSE 0 END) END
$$;

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
        target, attempt, run, interruptions, retry_limit, flags, key, name, repeat, standing, data, reason, died, error)
    SELECT due, seq, id, created, job_due, first_start, age_limit, min_backoff, max_backoff, begun,
        target, attempt, run, interruptions + interrupts::int, retry_limit, flags, key, name, repeat, standing, data, 2, died,
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

-- Withdraw a job. 1: it will not start. 2: it is a repeat that runs, and ends with that. 3: another node holds it.
CREATE FUNCTION {s}.cancel_v1(which uuid, who bigint) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    -- Who marks it now has done so, or has not.
    PERFORM FROM {s}.job j WHERE j.id = which FOR UPDATE;
    DELETE FROM {s}.job j WHERE j.id = which AND j.begun IS NULL
        AND (j.owner IS NULL OR j.owner = who OR j.flags & 2 <> 0 OR j.repeat IS NOT NULL);
    IF FOUND THEN
        RETURN 1;
    END IF;
    UPDATE {s}.job j SET repeat = NULL, standing = NULL, flags = j.flags | 8 WHERE j.id = which AND j.repeat IS NOT NULL;
    IF FOUND THEN
        RETURN 2;
    END IF;
    RETURN CASE WHEN EXISTS (SELECT FROM {s}.job j WHERE j.id = which AND j.begun IS NULL AND j.owner <> who) THEN 3 ELSE 0 END;
END $$;

-- True: it will not start, or not again.
CREATE OR REPLACE FUNCTION {s}.cancel(id text) RETURNS boolean LANGUAGE sql AS
$$ SELECT {s}.cancel_v1({s}.key_of(cancel.id), NULL) IN (1, 2) $$;

UPDATE {s}.meta SET value = 2 WHERE name = 'schema';
