"""docs/postgres-howto.md: its programs, its roles and its questions, run as they stand there."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pg_server
import pytest
from connections import Django, left_out

import duewheel
from duewheel import PostgresStorage, Scheduler

PAGE = Path(__file__).parents[2] / "docs" / "postgres-howto.md"


def blocks(heading, kind):
    section = PAGE.read_text("utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(rf"```{kind}\n(.*?)```", section, re.DOTALL)


@pytest.fixture
def database(url, monkeypatch):
    """A database of the test's own, for the page speaks of the schema `duewheel`."""
    name = f"duewheel_howto_{os.getpid()}"
    admin = pg_server.Psql(url).sql
    admin(f"CREATE DATABASE {name}")
    own = url.rpartition("/")[0] + f"/{name}"
    monkeypatch.setenv("DATABASE_URL", own)
    sql = pg_server.Psql(own).sql
    sql("CREATE TABLE invoice (number int PRIMARY KEY)")
    yield SimpleNamespace(url=own, sql=sql)
    admin(f"DROP DATABASE {name} WITH (FORCE)")


def program(heading):
    (code,) = blocks(heading, "py")
    made = {"__name__": "example"}
    exec(compile(code, heading, "exec"), made)
    return made


def test_a_worker(database, tmp_path):
    (code,) = blocks("A worker", "py")
    (tmp_path / "worker.py").write_text(code)
    worker = subprocess.Popen(
        [sys.executable, str(tmp_path / "worker.py")],
        env={**os.environ, "POD_NAME": "worker-7"},
        stdout=subprocess.PIPE,
        text=True,
    )
    with worker:
        with Scheduler(database.url) as web:
            web.in_(0, "invoice.send", b"42")
            assert worker.stdout.readline() == "sending 42\n"
            assert "worker-7" in {node.name for node in web.nodes()}
            later = web.in_(1.5, "invoice.send", b"43")
            time.sleep(0.5)
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(20) == 0
            assert later in web, "it was given back"
        assert worker.stdout.read() == ""


def test_fastapi(database):
    left_out("sqlalchemy")
    left_out("psycopg")
    client = pytest.importorskip("starlette.testclient", reason="LEFT OUT: starlette is not installed").TestClient
    with client(program("FastAPI, with SQLAlchemy")["app"], raise_server_exceptions=False) as web:
        job = web.post("/invoices/7").json()["job"]
        assert web.post("/invoices/7").status_code == 500, "it is there already"
    with Scheduler(database.url) as scheduler:
        assert scheduler.get(job).data == b"7" and len(scheduler) == 1


def test_django(database, monkeypatch):
    django = Django(database.url)
    django.connection.set_autocommit(True)
    monkeypatch.setattr("django.db.connection", django.connection)
    monkeypatch.setattr("django.db.transaction.get_connection", lambda using=None: django.connection)
    made = program("Django")
    job = made["invoice"](8)
    with pytest.raises(sys.modules["django.db"].IntegrityError):
        made["invoice"](8)
    assert made["scheduler"]().get(job).data == b"8" and len(made["scheduler"]()) == 1
    made["scheduler"]().close()
    django.close()


def test_roles(server):
    """On a server of the test's own: roles are of the whole server."""
    sql = pg_server.Psql(server.url).sql
    as_node, as_web = (server.url.replace("postgres@", f"{role}@") for role in ("node", "web"))
    Scheduler(server.url).close()
    for statement in ("CREATE ROLE node LOGIN; CREATE ROLE web LOGIN", *blocks("Roles", "sql")):
        sql(statement)
    seen = []
    web = pg_server.Psql(as_web)
    with Scheduler(PostgresStorage(as_node, migrate=False)) as scheduler:
        scheduler.handle("a", lambda event: seen.append(event.data))
        scheduler.start()
        assert web.sql("SELECT duewheel.schedule('a', delay => '0 s', data => 'by web')")
        scheduler.in_(0, "a", b"by node", retry_limit=0)
        scheduler.in_(3_600, "a", id="kept")
        with left_out("psycopg").connect(as_web) as connection:
            scheduler.in_(0, "a", b"in a transaction of web", connection=connection)
        end = time.monotonic() + 20
        while len(seen) < 3:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert set(seen) == {b"by web", b"by node", b"in a transaction of web"}
        for refused in (
            "SELECT duewheel.cancel('kept')",
            "SELECT data FROM duewheel.job",
            "DELETE FROM duewheel.job",
            "UPDATE duewheel.job SET data = ''",
            "SELECT * FROM duewheel.dead",
            "SELECT * FROM duewheel.node",
        ):
            with pytest.raises(subprocess.CalledProcessError) as error:
                web.sql(refused)
            assert b"permission denied" in error.value.stderr.encode()
        with pytest.raises(duewheel.StorageError, match="permission denied"):
            Scheduler(PostgresStorage(as_web, migrate=False))


def test_questions(database):
    def fails(event):
        raise ValueError("no")

    with Scheduler(PostgresStorage(database.url, name="here")) as scheduler:
        scheduler.handle("dies", fails)
        scheduler.start()
        scheduler.in_(0, "dies", retry_limit=0)
        scheduler.at(time.time() - 60, "nobody", id="invoice-42")
        end = time.monotonic() + 20
        while not list(scheduler.dead()):
            assert time.monotonic() < end
            time.sleep(0.02)
        overdue, living, holder, dead = (database.sql(block) for block in blocks("What to watch", "sql"))
        assert overdue[0].startswith("nobody|1|1|00:0")
        assert living[0].startswith("here|") and len(living) == 1
        assert holder == ["|||f"]
        assert dead[0].startswith("dies|failed|1|")
        tables, _ = (database.sql(block) for block in blocks("Vacuum", "sql"))
        assert any(line.startswith("job|") for line in tables)
