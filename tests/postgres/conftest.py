"""What tests over PostgreSQL share: a server, schemas of their own, and nodes that are processes."""

import json
import subprocess
import sys
from pathlib import Path

import pg_server as servers
import pytest
from pg_given import schema, url

from duewheel import PostgresStorage, Scheduler

__all__ = ["schema", "url"]

NODE = Path(__file__).with_name("node.py")

if sys.platform == "win32":
    collect_ignore_glob = ["test_*.py"]  # signals, users


@pytest.fixture
def server():
    """A server of the test's own, to be ended and started."""
    server = servers.start()
    if server is None:
        pytest.skip("LEFT OUT: there are no programs of a server of PostgreSQL")
    yield server
    server.stop()


@pytest.fixture
def storage(url, schema):
    """Makes descriptions of one schema."""

    def storage(**options):
        return PostgresStorage(url, schema=schema, **options)

    return storage


@pytest.fixture
def node(storage):
    """Makes schedulers over one schema, which are closed at the end."""
    made = []

    def node(*, workers=2, handlers=None, start=True, **options):
        scheduler = Scheduler(storage(**options), workers=workers)
        made.append(scheduler)
        for target, handler in (handlers or {}).items():
            scheduler.handle(target, handler)
        if start:
            scheduler.start()
        return scheduler

    yield node
    for scheduler in made:
        scheduler.close()


class Nodes:
    """Starts nodes as processes; what is left of them at the end is killed."""

    def __init__(self):
        self.started = []

    def start(self, url, schema, log, **told):
        told = json.dumps({"url": url, "schema": schema, "log": str(log), **told})
        node = subprocess.Popen(
            [sys.executable, str(NODE), told], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.started.append(node)
        assert node.stdout.readline() == "ready\n"
        return node

    @staticmethod
    def end(node, timeout=30):
        """Let it drain and close."""
        node.stdin.close()
        assert node.wait(timeout) == 0

    def kill_all(self):
        for node in self.started:
            if node.poll() is None:
                node.kill()
            node.wait()
            node.stdin.close()
            node.stdout.close()


@pytest.fixture
def nodes():
    nodes = Nodes()
    yield nodes
    nodes.kill_all()
