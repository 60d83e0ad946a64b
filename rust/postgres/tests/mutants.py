"""Break what keeps nodes apart, in ways that tests of Rust must notice: `python3 rust/postgres/tests/mutants.py [name …]`.

Works on the checkout that it is called in, and puts every file back. Prints who survived. It starts a server of
PostgreSQL for each run of the tests. Takes some ten minutes on an idle machine.
"""

import sys
from pathlib import Path

RUST = Path(__file__).parents[2]
sys.path.insert(0, str(RUST))
import mutating  # noqa: E402

SQL = "postgres/src/tables/sql.rs"
TABLES = "postgres/src/tables/schema.sql"
CALLS = "postgres/src/tables/version_5.sql"
LINK = "postgres/src/connection/link.rs"
FLIGHTS = "postgres/src/node/flights.rs"
LEASE = "postgres/src/node/lease.rs"
STATE = "postgres/src/node/state.rs"
STEPS = "postgres/src/node/steps.rs"

MUTANTS: dict[str, mutating.Mutant] = {
    # Whose a job is
    "mark what another node holds": (SQL, "j.id = x.id AND j.owner = $3", "j.id = x.id AND $3 IS NOT NULL"),
    "end what another node holds": (
        SQL,
        "DELETE FROM {s}.job WHERE id = ANY($1) AND owner = $2",
        "DELETE FROM {s}.job WHERE id = ANY($1) AND $2 IS NOT NULL",
    ),
    "claim what another node holds": (SQL, '"(owner IS NULL OR owner = 0 AND get', '"(true OR owner = 0 AND get'),
    "move what has begun": (SQL, '"begun IS NULL AND (owner', '"(owner'),
    "move what another node may start": (SQL, "OR flags & 2 <> 0 OR repeat IS NOT NULL)", "OR true)"),
    "cancel what has begun": (CALLS, "WHERE j.id = which AND j.begun IS NULL\n", "WHERE j.id = which\n"),
    "cancel what another node may start": (CALLS, "OR j.flags & 2 <> 0 OR j.repeat IS NOT NULL)", "OR true)"),
    "give back to nobody": (SQL, "coalesce((SELECT min(w.epoch) FROM w", "coalesce((SELECT NULL::bigint FROM w"),
    # Ends that are kept
    "keep the end of what another node has": (SQL, "WHERE j.owner = $8", "WHERE $8 IS NOT NULL"),
    "keep the end before what follows": (CALLS, "DELETE FROM {s}.outcome o WHERE o.id = r.id;", ""),
    "take an id that is kept": (CALLS, "o.until > x.now LIMIT 1", "o.until > x.now LIMIT 0"),
    "take an id that is kept no longer": (CALLS, "WHERE o.until > x.now LIMIT 1", "LIMIT 1"),
    "keep no cancellation": (CALLS, "was.carried IS NOT NULL AND", "false AND"),
    "keep no interruption": (CALLS, "AND j.repeat IS NULL AND j.carried IS NOT NULL", "AND false"),
    "keep a death that is revived": (CALLS, "o.id = which AND o.state > 1", "o.id = which AND o.state > 9"),
    "show what is kept no longer": (SQL, "o.id = x.id AND o.until > $2", "o.id = x.id AND $2 IS NOT NULL"),
    # What a lost reply has said
    "do not note which flight it was": (TABLES, "applied = greatest(applied, flight)", "applied = applied"),
    "take a flight for lost": (FLIGHTS, "&& applied >= self.flights", "&& applied > self.flights"),
    "take a flight for applied": (FLIGHTS, "&& applied >= self.flights", "&& applied + 1 >= self.flights"),
    "believe marks whose reply was lost": (FLIGHTS, "if !marks(&self.sql, &batches, 0).is_empty() {", "if false {"),
    "ask again what was done": (FLIGHTS, "                question.changed = Some(answer);\n", ""),
    "take what was not begun for undone": (LINK, "begun.is_err() && landed.len()", "false && landed.len()"),
    "let what is late take effect": (STATE, "next: Uuid::new_v4(),", "next: token,"),
    # Leases and clocks
    "take no lease for over": (LEASE, "(lease.as_nanos() as i64 / 10) * 9", "i64::MAX / 2"),
    "start again what is at most once": (TABLES, "(flags & 2 <> 0 OR interrupts", "(interrupts"),
    "believe a clock that is wrong": (LEASE, "if ahead.abs() > TOLERANCE + took {", "if false {"),
    "count by a clock that is wrong": (STEPS, "to.due.saturating_add(self.ahead)", "to.due"),
}

TESTS = ["cargo", "test", "--quiet", "--package", "duewheel-postgres"]


def command_of(_: str) -> list[str]:
    return [sys.executable, str(RUST.parent / "tests/postgres/pg_server.py"), *TESTS]


if __name__ == "__main__":
    mutating.main(RUST, MUTANTS, command_of)
