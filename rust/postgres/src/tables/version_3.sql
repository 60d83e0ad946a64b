-- Version 3: repeats in the transaction of a caller, and targets of which all nodes together hold only so many jobs. A place is free again when its job is no longer that
-- epoch's: whoever claims next sees to that, so that nothing else has to.
CREATE TABLE {s}.place (
    target int NOT NULL, epoch bigint NOT NULL, id uuid NOT NULL,
    PRIMARY KEY (target, epoch, id)
);

UPDATE {s}.meta SET value = 3 WHERE name = 'schema';
