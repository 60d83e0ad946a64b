-- Version 3: repeats in the transaction of a caller, and targets of which all nodes together hold only so many jobs. A place is free again when its job is no longer that
-- epoch's: whoever claims next sees to that, so that nothing else has to.
CREATE TABLE {s}.place (
    target int NOT NULL, epoch bigint NOT NULL, id uuid NOT NULL,
    PRIMARY KEY (target, epoch, id)
);

-- Schedule a repeat in the transaction of a caller, who has found its first time. One that is there and is the same stays as it is.
CREATE FUNCTION {s}.repeat_v1(target text, due bigint, data bytea, id text, retry_limit bigint, min_backoff bigint,
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
    IF NOT FOUND AND NOT EXISTS (
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

UPDATE {s}.meta SET value = 3 WHERE name = 'schema';
