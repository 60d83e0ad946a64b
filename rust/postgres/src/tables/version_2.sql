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

UPDATE {s}.meta SET value = 2 WHERE name = 'schema';
