"""What an owner refuses: other users, other versions of the protocol, and lines that are no calls."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from random import Random

import pytest

import duewheel
from duewheel import Scheduler
from duewheel.sharing import _link, _words

HELLO = {"jsonrpc": "2.0", "id": 1, "method": "hello", "params": {"protocol": 1, "version": "0.0.1"}}


class Lines:
    """A connection that says what it is told to."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(f"{path}-sock")
        self.lines = self.socket.makefile("rwb")

    def say(self, line):
        text = line if isinstance(line, bytes) else json.dumps(line).encode()
        self.lines.write(text + b"\n")
        self.lines.flush()
        answer = self.lines.readline()
        return json.loads(answer) if answer else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        with contextlib.suppress(OSError):
            self.lines.close()


@pytest.fixture
def owner(path):
    with Scheduler(path, share=True) as scheduler:
        yield scheduler


def test_an_older_version_of_the_same_protocol_is_served(owner, path):
    with Lines(path) as lines:
        assert lines.say(HELLO)["result"]["pid"] == os.getpid()
        assert lines.say({"jsonrpc": "2.0", "id": "x", "method": "count"}) == {"jsonrpc": "2.0", "id": "x", "result": 0}


@pytest.mark.parametrize(("protocol", "older"), [(0, "the caller"), (2, "the owner")])
def test_another_protocol_is_refused(owner, path, protocol, older):
    with Lines(path) as lines:
        answer = lines.say({**HELLO, "params": {"protocol": protocol}})
        assert answer["error"]["data"]["kind"] == "StorageVersionError"
        assert f"update {older}" in answer["error"]["message"]
        assert lines.lines.readline() == b""  # it is over


def test_a_client_of_another_protocol_says_so(owner, path, monkeypatch):
    monkeypatch.setattr(_link, "PROTOCOL", 0)
    with pytest.raises(duewheel.StorageVersionError, match="update the caller"):
        duewheel.connect(path)


def test_who_says_no_hello_is_refused(owner, path):
    with Lines(path) as lines:
        assert lines.say({"jsonrpc": "2.0", "id": 1, "method": "count"})["error"]["code"] == -32600


@pytest.mark.parametrize(
    "line",
    [
        b"no JSON",
        b'{"id":1}',
        {"id": 1, "method": "unheard_of", "params": {}},
        {"id": 1, "method": "schedule", "params": {"id": "a"}},
        {"id": 1, "method": "schedule", "params": {"id": "", "target": "a", "in": 1, "retry": [0, None, 0, 0, False]}},
        {
            "id": 1,
            "method": "schedule",
            "params": {"id": "a", "target": "a", "in": -1, "retry": [0, None, 0, 0, False]},
        },
        {"id": 1, "method": "schedule", "params": {"id": "a", "target": "a", "in": 1, "retry": [0, None, 5, 0, False]}},
        {
            "id": 1,
            "method": "schedule_many",
            "params": {"ids": "AA", "target": "a", "in": [1], "retry": [0, None, 0, 0, False]},
        },
        {"id": 1, "method": "cancel", "params": {}},
        {"id": 1, "method": "reschedule", "params": {"id": "a"}},
        {"id": 1, "method": "between", "params": {"limit": 5}},
        {"id": 1, "method": "purge", "params": {"before": "yesterday"}},
    ],
    ids=str,
)
def test_what_is_no_call_is_refused_and_the_next_is_answered(owner, path, line):
    with Lines(path) as lines:
        lines.say(HELLO)
        assert "error" in lines.say(line)
        assert lines.say({"id": 7, "method": "count"})["result"] == 0


def test_a_call_in_pieces_and_calls_in_one_piece(owner, path):
    call = json.dumps({"id": 1, "method": "count"}).encode()
    with Lines(path) as lines:
        lines.say(HELLO)
        for byte in call[:-1]:
            lines.socket.sendall(bytes([byte]))
        assert lines.say(call[-1:])["result"] == 0
        assert lines.say(call + b"\n" + call)["result"] == 0
        assert json.loads(lines.lines.readline())["result"] == 0


RETRY = [0, None, 0, 0, False]
CALLS = [
    {"id": 1, "method": "schedule", "params": {"id": "a", "target": "t", "in": 10**15, "data": "QWRh", "retry": RETRY}},
    {"id": 2, "method": "schedule", "params": {"id": "b", "target": "t", "at": 1, "retry": RETRY, "keywords": {}}},
    {"id": 3, "method": "schedule_many", "params": {"ids": "A" * 22 + "==", "target": "t", "in": [1], "retry": RETRY}},
    {"id": 4, "method": "reschedule", "params": {"id": "a", "at": 10**18, "again": True, "since": 0, "ago": 0}},
    {"id": 5, "method": "repeat", "params": {"id": "r", "target": "t", "retry": RETRY, "definition": "{}", "data": ""}},
    {"id": 6, "method": "between", "params": {"start": None, "end": 10**18, "target": None, "limit": 5}},
    {"id": 7, "method": "purge", "params": {"before": None}},
    {"id": 8, "method": "cancel_many", "params": {"ids": ["a", "b"]}},
    {"id": 9, "method": "pause_target", "params": {"target": "t"}},
    {"id": 10, "method": "restore", "params": {"event": {"id": "x", "target": "t", "data": "", "retry": RETRY}}},
]


def damaged(line, random):
    """Return a line of which a few bytes are others, gone, twice or taken from elsewhere."""
    told = bytearray(line)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(told))
        match random.randrange(5):
            case 0:
                told[at] = random.randrange(256)
            case 1:
                del told[at : at + random.randint(1, 8)]
            case 2:
                told[at:at] = told[at : at + random.randint(1, 20)]
            case 3:
                told[at:at] = random.choice([b"null", b"-1", b"1e999", b'"', b"{", b"]", b"\\ud800", b"\0"])
            case 4:
                told = told[:at]
        told = bytearray(bytes(told).replace(b"\n", b" ")) or bytearray(b"-")
    return bytes(told)


@pytest.mark.parametrize("seed", range(4))
def test_each_damaged_line_is_answered_and_harms_no_other(owner, path, seed):
    random = Random(seed)
    lines_of = [json.dumps(call).encode() for call in CALLS]
    said = [damaged(random.choice(lines_of), random) for _ in range(500)]
    with Lines(path) as lines:
        lines.say(HELLO)
        lines.socket.sendall(b"".join(line + b"\n" for line in said))
        answers = [json.loads(lines.lines.readline()) for _ in said]
        assert all(("result" in answer) != ("error" in answer) for answer in answers)
        assert all(isinstance(answer["error"]["message"], str) for answer in answers if "error" in answer)
        assert lines.say({"id": "last", "method": "ping"})["result"] is True  # and none has had two answers
    with duewheel.connect(path) as client:
        assert client.get(client.in_(1_000, "sound", b"x")).data == b"x"


def test_a_call_whose_caller_leaves_in_the_middle_of_a_line_is_none(owner, path):
    with Lines(path) as lines:
        lines.say(HELLO)
        whole, part = (json.dumps({**CALLS[0], "params": {**CALLS[0]["params"], "id": id}}) for id in ("whole", "part"))
        lines.socket.sendall(whole.encode() + b"\n" + part.encode()[:-1])
    while "whole" not in owner:
        time.sleep(0.002)
    assert "part" not in owner


@pytest.mark.slow
def test_a_line_without_an_end_is_cut_off(owner, path):
    longest = b"-" * ((1 << 30) + 1)
    with Lines(path) as lines:
        lines.say(HELLO)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            lines.socket.sendall(longest + longest)
    with duewheel.connect(path) as client:
        assert len(client) == 0


def test_a_caller_that_reads_late_gets_all_answers(owner, path):
    owner.in_(30, "a", bytes(500_000), id="large")
    calls = 40  # more than sockets have room for
    with Lines(path) as lines:
        lines.say(HELLO)
        call = json.dumps({"id": 1, "method": "get", "params": {"id": "large"}}).encode() + b"\n"
        lines.socket.sendall(call * calls)
        with duewheel.connect(path) as client:
            assert client.get("large") is not None  # others are answered meanwhile
        for _ in range(calls):
            assert json.loads(lines.lines.readline())["result"]["id"] == "large"


def test_two_jobs_of_one_id_in_one_piece(owner, path):
    retry = [0, None, 0, 0, False]
    call = {"id": 1, "method": "schedule", "params": {"id": "same", "target": "a", "in": 10**12, "retry": retry}}
    first, second = json.dumps(call).encode(), json.dumps({**call, "id": 2}).encode()
    with Lines(path) as lines:
        lines.say(HELLO)
        lines.say({**call, "params": {**call["params"], "id": "warm"}})  # the references are there from now on
        answers = [lines.say(first + b"\n" + second), json.loads(lines.lines.readline())]
        one, other = sorted(answers, key=lambda answer: answer["id"])  # answers may come in any order
        assert one["result"] is True
        assert other["error"]["data"]["kind"] == "DuplicateJobError"
    assert len(owner) == 2


def test_a_call_that_was_cut_off_is_done_once(owner, path):
    """The same line again, as a client sends it that has heard nothing."""
    with duewheel.connect(path) as client, Lines(path) as lines:
        lines.say(HELLO)
        made, line = client._requests.schedule(True, 1_000, "a", b"x", None, None, None)
        assert lines.say(line.rstrip())["result"] is True
        again = _words.again(line, 0, 500 * 10**9)
        assert lines.say(again.rstrip())["result"] is True
        assert len(owner) == 1
        other, line = client._requests.schedule(True, 1_000, "a", b"x", None, None, None)
        before = owner.get(made).due
        assert lines.say(_words.again(line, 0, 500 * 10**9).rstrip())["result"] is True
        assert before - owner.get(other).due > 400 * 10**9  # it counts from the call, not from its repetition
        ids, line = client._requests.schedule_many(True, [1_000, 1_000], "a", None, None, None)
        lines.say(line.rstrip())
        assert lines.say(_words.again(line, 0, 0).rstrip())["result"] is True
        assert len(owner) == 4
        assert all(id in owner for id in ids)


def test_a_call_that_was_cut_off_is_not_made_again_when_its_job_died_with_the_owner(path, quiet):
    with Scheduler(path) as before:
        before.handle("dies", lambda event: 1 / 0)
        before.in_(0, "dies", id="dead", retry_limit=0)
        assert before.wait(30)
    told = {"id": 1, "method": "schedule", "params": {"target": "dies", "in": 10**12, "retry": RETRY}}
    again = {"again": True, "since": time.time_ns() - 10**11, "ago": 0, "given": True}
    with Scheduler(path, share=True) as owner, Lines(path) as lines:
        lines.say(HELLO)
        for id, pending in (("dead", 0), ("new", 1)):
            assert lines.say({**told, "params": {**told["params"], "id": id, **again}})["result"] is True
            assert len(owner) == pending


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.parametrize("mode", [0o600, 0o666])
def test_another_user_is_refused(path, mode):
    for folder in (path.parent, path.parent.parent, path.parent.parent.parent):
        folder.chmod(0o755)
    script = (
        "import os, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "import duewheel\n"
        "try: duewheel.connect(sys.argv[1])\n"
        "except duewheel.StorageError as error: print(type(error).__name__, error)\n"
    )
    code = (
        "import duewheel, duewheel.sharing, encodings.idna, traceback, linecache\n" + script
    )  # while it may still read the package
    with Scheduler(path, share=True) as owner:
        path.with_name("jobs.db-sock").chmod(mode)
        command = [sys.executable, "-c", code, path]
        found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert found.stdout.startswith("StorageError"), found.stderr
        assert "user" in found.stdout
        assert owner.stats().scheduled == 0
