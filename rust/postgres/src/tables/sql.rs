//! The statements, for one schema.
//!
//! All are sent with the types of their parameters and without a name, so that they pass through a pooler that gives
//! each transaction another connection.

use crate::tables::names::quoted;
use crate::tables::rows::COLUMNS;

/// What withdraws or moves a job: it has not begun, and no other node may start it without a mark.
const FREE: &str =
    "begun IS NULL AND (owner IS NULL OR owner = $2 OR flags & 2 <> 0 OR repeat IS NOT NULL)";

/// What may be claimed under the lease that stands for `{epoch}`: no node has it; a repeat is of owner 0 then, and is neither
/// held back nor declared by others alone.
const UNCLAIMED: &str = "(owner IS NULL OR owner = 0 AND get_byte(standing, 0) & 42 <> 8 AND (get_byte(standing, 0) & 16 = 0 \
    OR EXISTS (SELECT FROM {s}.declared d WHERE d.epoch = {epoch} AND d.id = job.id)))";

/// What a target's number is where nobody has paused it.
const UNPAUSED: &str = "NOT IN (SELECT target FROM {s}.paused)";

/// The owner of a row that no node has.
const NOBODY: &str = "CASE WHEN repeat IS NOT NULL THEN 0 END";

/// What became of it: 1, it was free; 3, another node holds it.
const CHANGED: &str = "CASE WHEN EXISTS (SELECT FROM d) THEN 1 \
     WHEN EXISTS (SELECT FROM {s}.job WHERE id = $1 AND begun IS NULL AND owner <> $2) THEN 3 ELSE 0 END";

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident: $text:literal,)*) => {
        /// The statements.
        pub(crate) struct Sql {
            $($(#[$doc])* pub(crate) $name: String,)*
        }

        impl Sql {
            /// Those of a schema.
            pub(crate) fn new(schema: &str) -> Self {
                let quoted = quoted(schema);
                let literal = quoted.replace('\'', "''");
                let text = |text: &str| {
                    let unclaimed = |epoch| UNCLAIMED.replace("{epoch}", epoch);
                    text.replace("{unclaimed:$5}", &unclaimed("$5"))
                        .replace("{unclaimed:$6}", &unclaimed("$6"))
                        .replace("{unclaimed:$3}", &unclaimed("$3"))
                        .replace("{nobody}", NOBODY)
                        .replace("{unpaused}", UNPAUSED)
                        .replace("{changed}", CHANGED)
                        .replace("{s}", &quoted)
                        .replace("{l}", &literal)
                        .replace("{columns}", COLUMNS)
                        .replace("{free}", FREE)
                };
                Sql { $($name: text($text),)* }
            }
        }
    };
}

statements! {
    /// The channel has the name of the schema.
    listen: "LISTEN {s}",
    notify: "SELECT pg_notify($1, $2)",
    notifies: "INSERT INTO {s}.meta VALUES ('notify', 1) ON CONFLICT (name) DO NOTHING",
    join: "WITH before AS (DELETE FROM {s}.node WHERE token = $1) INSERT INTO {s}.node (epoch, token, lease_until, version, host, pid, name) \
                VALUES (nextval('{l}.epoch'), $1, clock_timestamp() + $2 * interval '1 s', $3, $4, $5, $6) \
                RETURNING epoch, {s}.now_ns()",
    beat: "SELECT {s}.beat_v1($1, $2, $3, $4, $5, $6, $7)",
    in_doubt: "UPDATE {s}.node SET token = $3 WHERE epoch = $1 AND token IN ($2, $3) \
                RETURNING applied, answer, lease_until > '-infinity'",
    targets: "SELECT x, {s}.target_of(x) FROM unnest($1::text[]) x",
    insert: "INSERT INTO {s}.job (due, seq, id, created, job_due, first_start, age_limit, min_backoff, \
                max_backoff, owner, target, attempt, run, interruptions, retry_limit, flags, key, name, repeat, standing, data, carried) \
                SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], \
                $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::int[], $12::bigint[], $13::bigint[], \
                $14::bigint[], $15::bigint[], $16::smallint[], $17::bigint[], $18::text[], $19::text[], $20::bytea[], $21::bytea[], $22::bytea[])",
    begin: "UPDATE {s}.job j SET begun = x.at FROM unnest($1::uuid[], $2::bigint[]) x(id, at) \
                WHERE j.id = x.id AND j.owner = $3 RETURNING j.seq",
    /// What was amended since it had begun is to come again as it is now.
    release: "UPDATE {s}.job SET begun = NULL, owner = CASE WHEN flags & 4 <> 0 THEN 0 ELSE owner END WHERE id = ANY($1) AND owner = $2 RETURNING seq",
    /// To the first node that asks for it and lives, else to nobody. A node that is being rescued gets nothing more, and one
    /// that gets something is not rescued meanwhile.
    give_back: "WITH w AS (SELECT w.id, n.epoch, n.claimed_until FROM {s}.wanted w JOIN {s}.node n ON n.epoch = w.asker \
                WHERE w.id = ANY($1) AND w.owner = $2 AND n.lease_until > '-infinity' FOR KEY SHARE OF n) \
                UPDATE {s}.job j SET begun = NULL, \
                owner = coalesce((SELECT min(w.epoch) FROM w WHERE w.id = j.id AND w.claimed_until >= j.due), {nobody}) \
                WHERE id = ANY($1) AND owner = $2 RETURNING seq",
    /// A row comes back where something follows, here and in the next one.
    over: "WITH d AS (DELETE FROM {s}.job WHERE id = ANY($1) AND owner = $2 RETURNING follow) SELECT FROM d WHERE follow IS NOT NULL LIMIT 1",
    /// What is kept of an end, before that: of a job that is this node's still.
    keep: "INSERT INTO {s}.outcome (id, name, target, state, result, key, error, ended, until) \
                SELECT j.id, j.name, j.target, x.state, x.result, x.key, x.error, x.ended, x.until \
                FROM unnest($1::uuid[], $2::smallint[], $3::bytea[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint[]) \
                x(id, state, result, key, error, ended, until) JOIN {s}.job j ON j.id = x.id WHERE j.owner = $8 \
                ON CONFLICT (id) DO UPDATE SET name = excluded.name, target = excluded.target, state = excluded.state, \
                result = excluded.result, key = excluded.key, error = excluded.error, ended = excluded.ended, until = excluded.until",
    again: "WITH u AS (UPDATE {s}.job j SET due = x.due, seq = x.seq, flags = j.flags & ~1::smallint | x.flags, \
                attempt = x.attempt, run = x.run, first_start = x.first, begun = NULL, owner = coalesce(x.owner, {nobody}) \
                FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::smallint[], $5::bigint[], $6::bigint[], $7::bigint[], \
                $8::bigint[]) x(id, due, seq, flags, attempt, run, first, owner) WHERE j.id = x.id AND j.owner = $9 \
                RETURNING j.follow) SELECT FROM u WHERE follow IS NOT NULL LIMIT 1",
    shift: "UPDATE {s}.job j SET due = x.due, seq = x.seq, flags = j.flags & ~1::smallint | x.flags, owner = coalesce(x.owner, {nobody}) \
                FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::smallint[], $5::bigint[]) x(id, due, seq, flags, owner) \
                WHERE j.id = x.id AND j.owner = $6 RETURNING j.seq",
    next: "UPDATE {s}.job j SET due = x.due, seq = x.seq, flags = j.flags & ~1::smallint | x.flags, attempt = 1, \
                run = x.run, interruptions = 0, first_start = NULL, begun = NULL, job_due = x.job_due, standing = x.standing, owner = coalesce(x.owner, 0) \
                FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::smallint[], $5::bigint[], $6::bigint[], $7::bytea[], \
                $8::bigint[]) x(id, due, seq, flags, job_due, run, standing, owner) WHERE j.id = x.id AND j.owner = $9 RETURNING j.seq",
    bury: "INSERT INTO {s}.dead (due, seq, id, created, job_due, first_start, age_limit, min_backoff, max_backoff, \
                target, attempt, run, interruptions, retry_limit, flags, key, name, repeat, standing, data, carried, reason, died, error) \
                SELECT due, seq, j.id, created, job_due, first_start, age_limit, min_backoff, max_backoff, target, attempt, run, \
                interruptions, retry_limit, flags, key, name, repeat, standing, data, carried, x.reason, x.died, x.error \
                FROM unnest($1::uuid[], $2::smallint[], $3::bigint[], $4::text[]) WITH ORDINALITY x(id, reason, died, error, at) \
                JOIN {s}.job j ON j.id = x.id WHERE j.owner = $5 ORDER BY x.at RETURNING seq",
    edit: "UPDATE {s}.job SET target = $2, data = $3, key = $4, retry_limit = $5, age_limit = $6, min_backoff = $7, \
                max_backoff = $8, flags = flags & ~2::smallint | $9, repeat = $10, standing = $11, carried = $12 \
                WHERE id = $1 AND owner = $13 RETURNING seq",
    stand: "UPDATE {s}.job SET job_due = $2, standing = $3 WHERE id = $1 AND owner = $4 AND repeat IS NOT NULL RETURNING seq",
    look: "SELECT EXISTS (SELECT FROM {s}.target w CROSS JOIN LATERAL (SELECT FROM {s}.job \
                WHERE target = w.id AND (due, seq) > ($2, $3) AND due < $4 AND {unclaimed:$5} LIMIT 1) x WHERE w.name = ANY($1) AND w.id {unpaused}), \
                ARRAY(SELECT id FROM {s}.wanted WHERE owner = $5), ARRAY(SELECT target FROM {s}.paused ORDER BY target)",
    page: "WITH x AS MATERIALIZED (SELECT x.* FROM {s}.target w CROSS JOIN LATERAL (SELECT ctid AS at, due, seq FROM {s}.job \
                WHERE target = w.id AND (due, seq) > ($1, $2) AND due < $3 AND begun IS NULL ORDER BY due, seq LIMIT $4) x \
                WHERE $5 IS NULL OR w.name = $5 ORDER BY x.due, x.seq LIMIT $4) SELECT {columns} FROM {s}.job j \
                JOIN {s}.target t ON t.id = j.target WHERE j.ctid = ANY(ARRAY(SELECT at FROM x)) ORDER BY j.due, j.seq",
    pending: "SELECT {columns} FROM {s}.job j JOIN {s}.target t ON t.id = j.target WHERE j.id = $1 AND j.begun IS NULL",
    count: "SELECT count(*) FROM {s}.job WHERE begun IS NULL",
    counts: "SELECT t.name, count(*) FROM {s}.job j JOIN {s}.target t ON t.id = j.target GROUP BY t.name",
    target_of: "SELECT t.name, j.seq FROM {s}.job j JOIN {s}.target t ON t.id = j.target WHERE j.id = $1",
    /// Without repeats that wait and have no end, and what waits for a target that is paused.
    unfinished: "SELECT count(*) FROM {s}.job WHERE target IN (SELECT id FROM {s}.target WHERE name = ANY($1)) \
                AND (begun IS NOT NULL OR target {unpaused}) AND (repeat IS NULL \
                OR begun IS NOT NULL OR first_start IS NOT NULL OR split_part(repeat, 'catch_up=', 1) ~ '(count|end)=|ends ')",
    claim: "WITH w AS (SELECT id FROM {s}.target WHERE name = ANY($1) AND id {unpaused}), \
                c AS MATERIALIZED (SELECT x.ctid, x.due, x.seq FROM w CROSS JOIN LATERAL (SELECT ctid, due, seq FROM {s}.job \
                WHERE target = w.id AND (due, seq) > ($2, $3) AND due < $4 AND {unclaimed:$6} ORDER BY due, seq LIMIT $5 \
                FOR UPDATE SKIP LOCKED) x ORDER BY x.due, x.seq LIMIT $5), \
                j AS (UPDATE {s}.job j SET owner = $6, begun = NULL, flags = flags & ~12::smallint WHERE j.ctid = ANY(ARRAY(SELECT ctid FROM c)) RETURNING j.*), \
                n AS (UPDATE {s}.node SET claimed_until = greatest(claimed_until, (SELECT max(due) FROM j)) \
                WHERE epoch = $6 AND (SELECT max(due) FROM j) > claimed_until) \
                SELECT {columns} FROM j JOIN {s}.target t ON t.id = j.target ORDER BY j.due, j.seq",
    /// One claim at a time of targets that are limited over all nodes.
    limited_lock: "SELECT FROM {s}.target WHERE name = ANY($1) ORDER BY id FOR NO KEY UPDATE",
    /// What a node no longer holds has left its place.
    limited_left: "DELETE FROM {s}.place p USING {s}.target t WHERE t.name = ANY($1) AND p.target = t.id \
                AND NOT EXISTS (SELECT FROM {s}.job j WHERE j.id = p.id AND j.owner = p.epoch AND j.target = p.target)",
    limited_look: "SELECT EXISTS (SELECT FROM {s}.target w CROSS JOIN LATERAL (SELECT FROM {s}.job \
                WHERE target = w.id AND due < $2 AND {unclaimed:$3} LIMIT 1) x WHERE w.name = ANY($1) AND w.id {unpaused})",
    limited_claim: "WITH w AS (SELECT t.id, x.most - (SELECT count(*) FROM {s}.place p WHERE p.target = t.id) AS room \
                FROM unnest($1::text[], $2::bigint[]) x(name, most) JOIN {s}.target t ON t.name = x.name WHERE t.id {unpaused}), \
                c AS MATERIALIZED (SELECT x.ctid FROM w CROSS JOIN LATERAL (SELECT ctid, due, seq FROM {s}.job \
                WHERE target = w.id AND due < $3 AND {unclaimed:$5} ORDER BY due, seq LIMIT greatest(w.room, 0) \
                FOR UPDATE SKIP LOCKED) x ORDER BY x.due, x.seq LIMIT $4), \
                j AS (UPDATE {s}.job j SET owner = $5, begun = NULL, flags = flags & ~12::smallint WHERE j.ctid = ANY(ARRAY(SELECT ctid FROM c)) RETURNING j.*), \
                p AS (INSERT INTO {s}.place SELECT target, $5, id FROM j), \
                n AS (UPDATE {s}.node SET claimed_until = greatest(claimed_until, (SELECT max(due) FROM j)) \
                WHERE epoch = $5 AND (SELECT max(due) FROM j) > claimed_until) \
                SELECT {columns} FROM j JOIN {s}.target t ON t.id = j.target ORDER BY j.due, j.seq",
    stray: "UPDATE {s}.job j SET owner = {nobody}, begun = NULL FROM {s}.target t, {s}.node n \
                WHERE n.epoch = $1 AND j.target = t.id AND j.due <= n.claimed_until AND j.owner = $1 AND j.id <> ALL($2)",
    get: "SELECT {columns} FROM {s}.job j JOIN {s}.target t ON t.id = j.target WHERE j.id = $1",
    cancel: "UPDATE {s}.node SET answer = {s}.cancel_v2($1, $2, $3) WHERE epoch = $2 RETURNING answer",
    /// Where a job has this id it is not over.
    outcome: "SELECT j.id IS NOT NULL, j.carried, t.name, o.state, o.result, o.key, o.error, o.ended, o.until \
                FROM (SELECT $1::uuid AS id) x LEFT JOIN {s}.job j ON j.id = x.id \
                LEFT JOIN {s}.outcome o ON o.id = x.id AND o.until > $2 LEFT JOIN {s}.target t ON t.id = o.target",
    put: "UPDATE {s}.node SET answer = {s}.put_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) \
                WHERE epoch = $1 RETURNING answer",
    set_paused: "UPDATE {s}.node SET answer = {s}.pause_v1($2, $3) WHERE epoch = $1 RETURNING answer",
    paused: "SELECT p.target, t.name FROM {s}.paused p JOIN {s}.target t ON t.id = p.target ORDER BY p.target",
    target_named: "SELECT name FROM {s}.target WHERE id = $1",
    change_place: "WITH d AS (UPDATE {s}.job SET due = $3, seq = $4, flags = flags & ~1::smallint | $5, \
                owner = CASE WHEN owner = $2 THEN owner ELSE {nobody} END WHERE id = $1 AND {free} RETURNING seq) \
                UPDATE {s}.node SET answer = {changed} WHERE epoch = $2 RETURNING answer",
    /// Ask other nodes for these, and say who holds those that have not begun. What comes is found by who rescues this node.
    recall: "WITH j AS (SELECT id, nullif(owner, 0) AS owner, seq, due FROM {s}.job WHERE id = ANY($1) AND begun IS NULL), \
                h AS (SELECT id, owner, due FROM j WHERE owner <> $2), \
                w AS (INSERT INTO {s}.wanted (id, asker, owner) SELECT id, $2, owner FROM h \
                ON CONFLICT (id, asker) DO UPDATE SET owner = excluded.owner WHERE wanted.owner <> excluded.owner), \
                n AS (UPDATE {s}.node SET claimed_until = (SELECT max(due) FROM h) \
                WHERE epoch = $2 AND claimed_until < (SELECT max(due) FROM h)) \
                SELECT id, owner, seq FROM j",
    recalled: "DELETE FROM {s}.wanted WHERE id = ANY($1) AND asker = $2",
    dead: "SELECT j.number, {columns}, j.reason, j.error, j.died FROM {s}.dead j JOIN {s}.target t ON t.id = j.target \
                WHERE j.number < $1 AND ($3 IS NULL OR t.name = $3) AND ($4 IS NULL OR j.died < $4) ORDER BY j.number DESC LIMIT $2",
    revive: "UPDATE {s}.node SET answer = {s}.revive_v1($1, $2, $3, $4, $5) WHERE epoch = $2 RETURNING answer",
    deaths: "SELECT j.number, {columns}, j.reason, j.error, j.died FROM {s}.dead j JOIN {s}.target t ON t.id = j.target \
                WHERE j.number < $1 AND ($3 IS NULL OR t.name = $3) AND ($4 IS NULL OR j.died < $4) AND j.id = $5 \
                ORDER BY j.number DESC LIMIT $2",
    purge: "WITH d AS (DELETE FROM {s}.dead WHERE died < $1 RETURNING 1) \
                UPDATE {s}.node SET answer = (SELECT count(*) FROM d) WHERE epoch = $2 RETURNING answer",
    purge_ids: "WITH d AS (DELETE FROM {s}.dead WHERE id = ANY($3) AND died < $1 RETURNING 1) \
                UPDATE {s}.node SET answer = (SELECT count(*) FROM d) WHERE epoch = $2 RETURNING answer",
    /// After jobs were inserted whose ids may be taken by ends that are kept.
    inserted: "UPDATE {s}.node SET answer = {s}.free_v1($2, $3) WHERE epoch = $1 RETURNING answer",
    repeat: "SELECT {columns}, j.xmin::text::bigint, j.begun IS NOT NULL, j.standing IS NULL OR get_byte(j.standing, 0) & 16 = 0 \
                OR EXISTS (SELECT FROM {s}.declared d JOIN {s}.node n ON n.epoch = d.epoch WHERE d.id = j.id AND n.lease_until > clock_timestamp()) \
                FROM {s}.job j JOIN {s}.target t ON t.id = j.target WHERE j.id = $1",
    repeat_ids: "SELECT id, name FROM {s}.job WHERE repeat IS NOT NULL ORDER BY due, seq",
    /// What has begun keeps its node, which is told by a flag when it ends.
    amend: "WITH u AS (UPDATE {s}.job SET target = $2, data = $3, key = $4, retry_limit = $5, age_limit = $6, min_backoff = $7, \
                max_backoff = $8, flags = flags & ~3::smallint | $9 | (CASE WHEN begun IS NULL THEN 0 ELSE 4 END)::smallint, repeat = $10, \
                standing = $11, carried = $12, due = $15, seq = $16, job_due = $17, owner = CASE WHEN begun IS NULL THEN 0 ELSE owner END \
                WHERE id = $1 AND xmin::text::bigint = $14 AND repeat IS NOT NULL RETURNING 1) \
                UPDATE {s}.node SET answer = (SELECT count(*) FROM u) WHERE epoch = $13 RETURNING answer",
    end: "WITH d AS (DELETE FROM {s}.job WHERE id = $1 AND xmin::text::bigint = $3 AND begun IS NULL RETURNING 1) \
                UPDATE {s}.node SET answer = (SELECT count(*) FROM d) WHERE epoch = $2 RETURNING answer",
    declare: "INSERT INTO {s}.declared (epoch, id, said) SELECT n.epoch, x.id, x.said \
                FROM {s}.node n, unnest($2::uuid[], $3::text[]) x(id, said) WHERE n.epoch = $1 \
                ON CONFLICT (epoch, id) DO UPDATE SET said = excluded.said WHERE declared.said IS DISTINCT FROM excluded.said",
    /// What nodes that live declare otherwise.
    contested: "SELECT d.id, min(n.name) FROM {s}.declared d JOIN {s}.declared o ON o.id = d.id AND o.epoch <> d.epoch \
                JOIN {s}.node n ON n.epoch = o.epoch WHERE d.epoch = $1 AND o.said <> d.said AND n.lease_until > clock_timestamp() \
                GROUP BY d.id ORDER BY d.id",
    /// Before the end of a repeat: one that was cancelled while it ran is over; one that was amended is nobody's from here on, so
    /// that nothing else of its end is found, but for a retry.
    close: "WITH x AS (SELECT * FROM unnest($1::uuid[], $2::boolean[], $3::bytea[]) x(id, ends, ended)), \
                d AS (DELETE FROM {s}.job j USING x WHERE j.id = x.id AND j.owner = $4 AND j.flags & 8 <> 0) \
                UPDATE {s}.job j SET due = {s}.now_ns(), owner = 0, begun = NULL, attempt = 1, run = least(run + 1, 4294967295), \
                interruptions = 0, first_start = NULL, flags = j.flags & ~4::smallint, standing = {s}.spent_v1(j.standing, x.ended) \
                FROM x WHERE j.id = x.id AND j.owner = $4 AND j.flags & 12 = 4 AND x.ends",
    lapsed: "UPDATE {s}.node SET lease_until = '-infinity' WHERE epoch = (SELECT epoch FROM {s}.node \
                WHERE lease_until < clock_timestamp() AND lease_until > '-infinity' ORDER BY epoch LIMIT 1 FOR UPDATE SKIP LOCKED) \
                RETURNING epoch",
    /// Leases that are over; and those that a transaction keeps from being so.
    lost: "SELECT epoch, lease_until = '-infinity' FROM {s}.node WHERE lease_until = '-infinity' AND claimed_until > -9223372036854775808 \
                OR lease_until > '-infinity' AND lease_until < clock_timestamp()",
    /// Of a node that went silent in the middle of a transaction the server has nothing that ends it: a statement that was
    /// run and whose end has not come is no statement that takes too long, nor is its transaction idle.
    part: "SELECT pg_terminate_backend(a.pid) FROM {s}.node n \
                JOIN pg_locks l ON l.locktype = 'transactionid' AND l.transactionid = n.xmax AND l.granted \
                JOIN pg_locks r ON r.pid = l.pid AND r.locktype = 'relation' AND r.relation = '{l}.node'::regclass \
                JOIN pg_stat_activity a ON a.pid = l.pid AND a.usename = current_user \
                WHERE n.epoch = $1 AND n.lease_until > '-infinity' AND n.lease_until < clock_timestamp()",
    rescue: "SELECT {s}.rescue_v1($1, $2, $3, $4)",
    /// What nobody needs any more; and what other nodes ask this one for, and which targets are paused.
    forget: "WITH n AS (DELETE FROM {s}.node WHERE lease_until = '-infinity' AND claimed_until = -9223372036854775808 \
                AND seen < clock_timestamp() - interval '1 hour'), \
                w AS (DELETE FROM {s}.wanted w WHERE NOT EXISTS (SELECT FROM {s}.node n WHERE n.epoch = w.asker AND n.lease_until > '-infinity')) \
                SELECT ARRAY(SELECT id FROM {s}.wanted WHERE owner = $1), ARRAY(SELECT target FROM {s}.paused ORDER BY target)",
    /// Ends that are kept no longer, some at a time.
    sweep: "WITH d AS (DELETE FROM {s}.outcome WHERE id = ANY(ARRAY(SELECT id FROM {s}.outcome WHERE until <= (SELECT {s}.now_ns()) \
                ORDER BY until LIMIT $1 FOR UPDATE SKIP LOCKED)) RETURNING 1) SELECT count(*) FROM d",
    leave: "UPDATE {s}.node SET lease_until = '-infinity' WHERE epoch = $1 AND token = $2",
    left: "DELETE FROM {s}.node WHERE epoch = $1 AND token = $2 AND lease_until = '-infinity'",
    nodes: "SELECT name, host, pid, version, (extract(epoch FROM started) * 1000000)::bigint * 1000, \
                (extract(epoch FROM seen) * 1000000)::bigint * 1000, held, running FROM {s}.node \
                WHERE lease_until > clock_timestamp() ORDER BY name COLLATE \"C\", started, epoch",
}
