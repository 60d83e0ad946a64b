"""A rolling deploy: nodes that know version 1 of the tables beside those of this library, which brings them up to date.

`version_1.sql` makes them as version 1 did; what its nodes do is here as the statements that they send. With the next
version that file stays, for databases that skip one, and the statements become those of the version before it.
"""

import time
from pathlib import Path

import pg_server
import pytest

from duewheel import PostgresStorage, Scheduler

TABLES = Path(__file__).with_name("version_1.sql")
ROW = (
    "due, seq, id, created, job_due, first_start, age_limit, min_backoff, max_backoff, owner, target, attempt, run, "
    "interruptions, retry_limit, flags, key, name, repeat, standing, data"
)


class NodeBefore:
    """A node of the version before, as far as its statements go."""

    def __init__(self, url, schema):
        psycopg = pytest.importorskip("psycopg", reason="LEFT OUT: psycopg is not installed")
        self.connection = psycopg.connect(url, autocommit=True)
        self.schema = schema
        ((self.epoch,),) = self.ask(
            "INSERT INTO {s}.node (epoch, token, lease_until, version, host, pid, name) VALUES (nextval('{s}.epoch'), "
            "'00000000-0000-4000-8000-000000000001', clock_timestamp() + interval '2 s', '0', 'h', 1, 'before') "
            "RETURNING epoch"
        )
        self.seq = self.epoch << 40

    def ask(self, sql):
        found = self.connection.execute(sql.replace("{s}", self.schema))
        return found.fetchall() if found.description else found.rowcount

    def beat(self):
        self.ask(
            f"SELECT {{s}}.beat_v1({self.epoch}, '00000000-0000-4000-8000-000000000001', 1, 2.0, 0, 0, {2**62}::bigint)"
        )

    def insert(self, id, target, *, delay=0.0, held=False):
        self.seq += 1
        owner = self.epoch if held else "NULL"
        self.ask(
            f"INSERT INTO {{s}}.job ({ROW}) SELECT at, {self.seq}, {{s}}.key_of('{id}'), at, at, NULL, NULL, "
            f"1000000000, 3600000000000, {owner}, {{s}}.target_of('{target}'), 1, 1, 0, 5, 1, NULL, "
            f"'{id}', NULL, NULL, 'data' "
            f"FROM (SELECT {{s}}.now_ns() + {int(delay * 1e9)} AS at) x"
        )

    def claim(self, target):
        return self.ask(
            f"UPDATE {{s}}.job SET owner = {self.epoch}, begun = NULL WHERE ctid = ANY(ARRAY("
            f"SELECT ctid FROM {{s}}.job WHERE target = {{s}}.target_of('{target}') AND owner IS NULL "
            "AND due < {s}.now_ns() + 120000000000 ORDER BY due, seq FOR UPDATE SKIP LOCKED)) RETURNING name, data"
        )

    def begin(self, id):
        return self.ask(
            f"UPDATE {{s}}.job SET begun = {{s}}.now_ns() WHERE id = {{s}}.key_of('{id}') AND owner = {self.epoch}"
        )

    def finish(self, id):
        return self.ask(f"DELETE FROM {{s}}.job WHERE id = {{s}}.key_of('{id}') AND owner = {self.epoch}")


@pytest.fixture
def before(url, schema):
    """A node of the version before, which has made the tables."""
    text = TABLES.read_text("utf-8").replace("{s}", f'"{schema}"').replace("{n}", schema).replace("{l}", f'"{schema}"')
    pg_server.Psql(url).sql(f'CREATE SCHEMA "{schema}"; {text}')
    node = NodeBefore(url, schema)
    yield node
    node.connection.close()


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_nodes_of_two_versions_work_side_by_side(before, node):
    before.insert("due", "here")
    before.insert("held", "here", delay=0.5, held=True)
    before.insert("later", "here", delay=1.0)
    seen = []
    after = node(lease=2.0, handlers={"here": lambda event: seen.append((event.job_id, event.data))})
    wait_for(lambda: len(seen) == 2)
    assert seen == [("due", b"data"), ("later", b"data")], "what another holds is its own"

    # Each sees what the other schedules, and both withdraw.
    after.in_(0, "there", b"new", id="new")
    after.in_(3_600, "there", id="withdrawn")
    before.beat()
    assert before.claim("there") == [("new", b"new")]
    assert before.begin("new") == 1 and before.finish("new") == 1
    assert before.ask("SELECT {s}.cancel('withdrawn')") == [(True,)]
    assert before.ask(
        "SELECT {s}.schedule_v1('here', 0, true, 'by function', 'function', 5, 1000000000, 1000000000, NULL, false)"
    ) == [("function",)]
    assert before.ask("SELECT {s}.schedule('here', delay => '0 s', data => 'by sql', id => 'sql')") == [("sql",)]
    wait_for(lambda: len(seen) == 4)
    assert {node.name for node in after.nodes()} >= {"before"}

    # It ends without a word, and what it held starts here.
    wait_for(lambda: len(seen) == 5)
    assert seen[4] == ("held", b"data")
    assert len(after) == 0


def test_one_of_the_version_before_takes_over_from_one_of_this(before, nodes, url, schema, tmp_path):
    with Scheduler(PostgresStorage(url, schema=schema)) as scheduler:
        ids = [scheduler.in_(60, "work") for _ in range(3)]
    held = nodes.start(url, schema, tmp_path / "log", storage={"lease": 1.0, "window": 120.0})
    wait_for(lambda: before.ask("SELECT count(*) FROM {s}.job WHERE owner IS NOT NULL") == [(3,)])
    held.kill()
    lost = []

    def lapsed():
        before.beat()
        lost.extend(
            before.ask(
                "UPDATE {s}.node SET lease_until = '-infinity' WHERE lease_until < clock_timestamp() "
                "AND lease_until > '-infinity' RETURNING epoch"
            )
        )
        return lost

    wait_for(lapsed)
    ((epoch,),) = lost
    assert before.ask(f"SELECT {{s}}.rescue_v1({epoch}, 3, true, 1000)") == [(3,)]
    assert {name for name, _ in before.ask("SELECT id::text, name FROM {s}.job WHERE owner IS NULL")} == set(ids)
    assert before.claim("work") and all(before.finish(id) == 1 for id in ids)


def test_one_of_the_version_before_takes_no_id_by_a_function_and_cancels_as_all_do(before, node):
    psycopg = pytest.importorskip("psycopg", reason="LEFT OUT: psycopg is not installed")
    after = node()
    after.in_(60, "work", id="kept", keep=60)
    assert before.ask("SELECT {s}.cancel_v1({s}.key_of('kept'), 1)") == [(1,)]
    assert after.outcome("kept").state == "cancelled"
    with pytest.raises(psycopg.errors.UniqueViolation, match="is kept"):
        before.ask("SELECT {s}.schedule_v1('work', 0, true, '', 'kept', 5, 1, 1, NULL, false)")


def test_a_program_of_the_version_before_may_still_open_it(before, node):
    node()
    ((oldest,),) = before.ask("SELECT value FROM {s}.meta WHERE name = 'oldest_client'")
    assert oldest == 1
