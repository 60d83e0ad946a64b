-- Version 1 of the tables; PostgreSQL 14 and later. {s} stands for the schema's name, quoted.
-- Times are nanoseconds since 1970 as the engine has them: exact, and 8 bytes like a timestamptz.
CREATE TABLE {s}.meta (name text PRIMARY KEY, value bigint NOT NULL);
INSERT INTO {s}.meta VALUES ('schema', 1), ('oldest_client', 1);
CREATE SEQUENCE {s}.epoch AS bigint MAXVALUE 8388607;               -- 23 bits: epoch << 40 | n stays below 2^63
CREATE SEQUENCE {s}.seq AS bigint MAXVALUE 1099511627775 CACHE 32;  -- those of jobs scheduled by SQL; a node's begin at epoch << 40
CREATE SEQUENCE {s}.death AS bigint;
CREATE TABLE {s}.target (
    id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name text COLLATE "C" NOT NULL UNIQUE
);

-- One row a lease. A lease that has lapsed is never taken up again.
CREATE TABLE {s}.node (
    epoch bigint PRIMARY KEY,
    token uuid NOT NULL,                             -- tells it from an epoch that a failover has given twice
    lease_until timestamptz NOT NULL,                -- by the server's clock; -infinity: others have its jobs
    claimed_until bigint NOT NULL DEFAULT 0,         -- no job due later was ever claimed under it
    applied bigint NOT NULL DEFAULT 0,               -- the last flight that was committed,
    answer bigint NOT NULL DEFAULT 0,                -- and how many jobs it changed, where that was the question
    started timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen timestamptz NOT NULL DEFAULT clock_timestamp(),
    held int NOT NULL DEFAULT 0, running int NOT NULL DEFAULT 0,
    version text NOT NULL, host text NOT NULL, pid int NOT NULL, name text NOT NULL
) WITH (fillfactor = 10, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);

CREATE TABLE {s}.job (
    due bigint NOT NULL, seq bigint NOT NULL,        -- its place; seq names the execution: new with each move or retry
    id uuid NOT NULL,                                -- generated: version 7; given: version 8, of its sha256
    created bigint NOT NULL, job_due bigint NOT NULL,
    first_start bigint, age_limit bigint, min_backoff bigint NOT NULL, max_backoff bigint NOT NULL,
    owner bigint,                                    -- the epoch that holds it
    begun bigint,                                    -- when it was marked as started under that epoch
    target int NOT NULL, attempt bigint NOT NULL DEFAULT 1, run bigint NOT NULL DEFAULT 1,
    interruptions bigint NOT NULL DEFAULT 0, retry_limit bigint,
    flags smallint NOT NULL DEFAULT 0,               -- 1 boot clock, 2 at most once
    key bigint,                                      -- under which its data are sealed
    name text COLLATE "C",                           -- the id that was given
    repeat text, standing bytea,                     -- of what comes again
    data bytea NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
CREATE UNIQUE INDEX job_id ON {s}.job (id);
-- Without a predicate on owner, so that claims and marks change no index.
CREATE INDEX job_place ON {s}.job (target, due, seq);

CREATE TABLE {s}.dead (
    LIKE {s}.job INCLUDING DEFAULTS,
    number bigint PRIMARY KEY DEFAULT nextval('{l}.death'),
    reason smallint NOT NULL, died bigint NOT NULL, error text NOT NULL
);
CREATE INDEX dead_id ON {s}.dead (id);
CREATE INDEX dead_died ON {s}.dead (died);
CREATE TABLE {s}.keys (key bigint PRIMARY KEY, proof bytea NOT NULL);

CREATE FUNCTION {s}.now_ns() RETURNS bigint LANGUAGE sql VOLATILE PARALLEL SAFE AS
$$ SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000 $$;

CREATE FUNCTION {s}.key_of(id text) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' THEN id::uuid
    ELSE encode(set_byte(set_byte(h, 6, get_byte(h, 6) & 15 | 128), 8, get_byte(h, 8) & 63 | 128), 'hex')::uuid END
    FROM (SELECT substr(sha256(convert_to(id, 'UTF8')), 1, 16) h) x
$$;

CREATE FUNCTION {s}.target_of(wanted text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE found_id int;
BEGIN
    SELECT t.id INTO found_id FROM {s}.target t WHERE t.name = wanted;
    IF found_id IS NULL THEN
        INSERT INTO {s}.target (name) VALUES (wanted) ON CONFLICT (name) DO NOTHING RETURNING target.id INTO found_id;
        IF found_id IS NULL THEN
            SELECT t.id INTO found_id FROM {s}.target t WHERE t.name = wanted;
        END IF;
    END IF;
    RETURN found_id;
END $$;

-- A node says that it lives, and which flight this transaction is. A lease that others have taken over ends the
-- transaction: so nothing of a flight takes effect after it.
CREATE FUNCTION {s}.beat_v1(which bigint, secret uuid, flight bigint, lease double precision, holds int, runs int,
    until_due bigint)
RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    UPDATE {s}.node SET applied = greatest(applied, flight), seen = clock_timestamp(), held = holds, running = runs,
        claimed_until = greatest(claimed_until, until_due),
        lease_until = clock_timestamp() + lease * interval '1 s'
    WHERE epoch = which AND token = secret AND lease_until > '-infinity';
    IF NOT FOUND THEN
        RAISE 'the lease % is lost', which USING ERRCODE = 'DW001';
    END IF;
    RETURN {s}.now_ns();
END $$;

-- Whether a job that had begun under a lease that is over is dead, or, of a repeat, its occurrence.
CREATE FUNCTION {s}.dies_v1(begun bigint, flags smallint, interruptions bigint, most bigint, interrupts boolean)
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
$$ SELECT begun IS NOT NULL AND (flags & 2 <> 0 OR interrupts AND interruptions + 1 >= most) $$;

-- What any client may call, in any transaction of its own. NULL is what the library takes where nothing is given.
CREATE FUNCTION {s}.schedule(target text, due timestamptz DEFAULT NULL, data bytea DEFAULT '', delay interval DEFAULT NULL,
    id text DEFAULT NULL, retry_limit bigint DEFAULT NULL, min_backoff interval DEFAULT '1 s',
    max_backoff interval DEFAULT '1 h', age_limit interval DEFAULT NULL, at_most_once boolean DEFAULT false)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    ns CONSTANT numeric := 1000000000;
BEGIN
    IF (due IS NULL) = (delay IS NULL) THEN
        RAISE 'give either due or delay' USING ERRCODE = '22023';
    END IF;
    IF delay < interval '0' THEN
        RAISE 'delay must not be negative: %', delay USING ERRCODE = '22023';
    END IF;
    IF min_backoff > max_backoff OR min_backoff < interval '0' THEN
        RAISE 'min_backoff must be between 0 and max_backoff: %', min_backoff USING ERRCODE = '22023';
    END IF;
    RETURN {s}.schedule_v1(target, (CASE WHEN due IS NULL THEN extract(epoch FROM delay) ELSE extract(epoch FROM due) END * ns)::bigint, due IS NULL,
        data, id, CASE WHEN at_most_once THEN 0 WHEN retry_limit IS NULL AND age_limit IS NULL THEN 5 ELSE retry_limit END,
        (extract(epoch FROM min_backoff) * ns)::bigint, (extract(epoch FROM max_backoff) * ns)::bigint,
        (extract(epoch FROM age_limit) * ns)::bigint, at_most_once);
END $$;

-- True: it will not start. A job that a node holds can be withdrawn while it has to be marked before it starts.
CREATE FUNCTION {s}.cancel(id text) RETURNS boolean LANGUAGE sql AS $$
    WITH d AS (
        DELETE FROM {s}.job j WHERE j.id = {s}.key_of(cancel.id) AND j.begun IS NULL AND (j.owner IS NULL OR j.flags & 2 <> 0)
        RETURNING 1)
    SELECT count(*) = 1 FROM d
$$;
