-- Version 4: what few jobs carry beside their data, `duewheel_model::carried`. Nodes that know nothing of it leave it as it is, but
-- for the dead that they bury.
ALTER TABLE {s}.job ADD COLUMN carried bytea;
ALTER TABLE {s}.dead ADD COLUMN carried bytea;

-- As repeat_v1, for a repeat that carries more than its data. Nobody sees it before the end of the caller's transaction.
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
