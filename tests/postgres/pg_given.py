"""The server of PostgreSQL that a session of tests has, and a schema of its own for each test."""

import itertools
import os

import pg_server as servers
import pytest

_numbers = itertools.count()


@pytest.fixture(scope="session")
def url():
    given = os.environ.get(servers.VARIABLE)
    if given:
        yield given
        return
    server = servers.start(settings=("fsync=off",))
    if server is None:
        if "CI" in os.environ:
            pytest.fail("there is no server of PostgreSQL, and CI leaves nothing out")
        pytest.skip(f"LEFT OUT: there is no server of PostgreSQL; say {servers.VARIABLE}=postgresql://…")
    yield server.url
    server.stop()


@pytest.fixture
def schema():
    return f"duewheel_test_{os.getpid()}_{next(_numbers)}"
