"""The example of tasks in a FastAPI application: over HTTP, and over a restart."""

import importlib.util
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "signups.py"
PATIENCE_S = 30


@pytest.fixture
def example(monkeypatch):
    spec = importlib.util.spec_from_file_location("signups", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "signups", module)  # where FastAPI looks annotations up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def sent():
    return []


@pytest.fixture
def app(example, tmp_path, sent):
    async def send(to, text):
        sent.append((to, text.partition(" (")[0]))

    def make(**terms):
        return TestClient(example.create_app(str(tmp_path / "signups.db"), send, **terms))

    return make


def until(sent, count):
    end = time.monotonic() + PATIENCE_S
    while len(sent) < count and time.monotonic() < end:
        time.sleep(0.001)
    return sorted(sent)


def test_who_confirms_is_not_reminded(app, sent):
    with app() as client:
        answer = client.post("/users", json={"address": "ada@example.org", "lang": "fr"})
        assert answer.status_code == 201 and len(answer.json()["job"]) == 36
        assert client.post("/users", json={"address": "ada@example.org"}).status_code == 409
        assert client.post("/users", json={"address": "ada@example.org", "lang": "xx"}).status_code == 422
        assert client.post("/users/ada@example.org/confirmed").json() == {"in_time": True}
        assert client.post("/users/ada@example.org/confirmed").json() == {"in_time": False}
        assert until(sent, 1) == [("ada@example.org", "bienvenue")]


def test_who_does_not_confirm_is_reminded_also_after_a_restart(app, sent):
    with app(remind_after=timedelta(seconds=2)) as client:
        client.post("/users", json={"address": "ada@example.org"})
        assert until(sent, 1) == [("ada@example.org", "welcome")]
    with app():
        assert until(sent, 2) == [("ada@example.org", "please confirm your address"), ("ada@example.org", "welcome")]
