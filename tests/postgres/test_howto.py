"""docs/postgres-howto.md and docs/howto/kubernetes.md: their programs, roles and questions, run as they stand there."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pg_server
import pytest
from connections import Django, left_out

import duewheel
from duewheel import PostgresStorage, Scheduler

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "postgres-howto.md"
KUBERNETES = DOCS / "howto" / "kubernetes.md"


def blocks(heading, kind, page=PAGE):
    section = page.read_text("utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
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


def until(holds, patience_s=20):
    end = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def answer_of(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            return answer.status, answer.read()
    except OSError:
        return None


def test_a_worker_on_kubernetes(database, tmp_path, monkeypatch):
    (code,) = blocks("The worker", "py", KUBERNETES)
    (web_code,) = blocks("The deployments", "py", KUBERNETES)
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "worker.py").write_text(code)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    worker = subprocess.Popen(
        [sys.executable, "-m", "shop.worker"],
        cwd=tmp_path,
        env={**os.environ, "POD_NAME": "worker-7", "PROBES": str(port)},
        stdout=subprocess.PIPE,
        text=True,
    )
    monkeypatch.syspath_prepend(tmp_path)
    web = {}
    with worker:
        exec(compile(web_code, "web", "exec"), web)
        try:
            web["send"].in_(0, 41)
            assert worker.stdout.readline() == "sending invoice 41\n"
            until(lambda: answer_of(port) == (200, b"None"))
            assert "worker-7" in {node.name for node in web["web"].nodes()}
            later = web["send"].in_(1.5, 43)
            time.sleep(0.5)
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(20) == 0
            assert later in web["web"] and web["id"] in web["web"], "they were given back"
        finally:
            worker.kill()
            web["web"].close()
    for name in ("shop.worker", "shop"):
        sys.modules.pop(name, None)


def test_manifests_of_kubernetes():
    yaml = pytest.importorskip("yaml", reason="LEFT OUT: PyYAML, which Zensical brings, is not installed")
    given = [found for block in blocks_of_kind("yaml") for found in yaml.safe_load_all(block)]
    assert [found["kind"] for found in given] == ["Deployment", "Deployment", "Job"]
    pods = [found["spec"]["template"]["spec"] for found in given]
    assert all(pod["containers"][0]["command"] for pod in pods)
    (code,) = blocks("The worker", "py", KUBERNETES)
    drains = float(re.search(r"drain_timeout=(\d+)", code)[1])
    assert drains < pods[0]["terminationGracePeriodSeconds"]
    assert pods[0]["containers"][0]["livenessProbe"]["httpGet"]["port"] == 8080


def blocks_of_kind(kind):
    return re.findall(rf"```{kind}\n(.*?)```", KUBERNETES.read_text("utf-8"), re.DOTALL)


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
