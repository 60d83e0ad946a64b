"""How the command line ends: statuses, usages, pipes, Ctrl-C; and what it never says."""

import os
import signal
import subprocess
import sys

import pytest

from duewheel import Scheduler
from duewheel.cli._ends import FINE, FOUND, UNREACHABLE, USAGE
from duewheel.cli._reach import without_password

PROGRAM = [sys.executable, "-m", "duewheel"]
PROCESS = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: VERB"),
        (["nothing"], "invalid choice: 'nothing'"),
        (["list", "--nothing"], "unrecognized arguments: --nothing"),
        (["lis"], "invalid choice"),
        (["list", "--js"], "unrecognized arguments"),
        (["show"], "the following arguments are required: ID"),
        (["cancel"], "the following arguments are required: ID"),
        (["move", "a"], "the following arguments are required: WHEN"),
        (["move", "a", "never"], "is no time"),
        (["list", "-n", "-1"], "a number of 0 or more"),
        (["list", "-n", "x"], "a number of 0 or more"),
        (["list", "--since", "yesterday"], "is no time"),
        (["list", "--target", ""], "target must have 1 to 255 bytes"),
        (["show", ""], "id must have 1 to 255 bytes"),
        (["show", "x" * 256], "id must have 1 to 255 bytes"),
        (["add", ""], "target must have 1 to 255 bytes"),
        (["add", "t", "60"], "say +60s for a delay"),
        (["add", "t", "--retry-limit", "many"], "none for no limit"),
        (["add", "t", "--retry-limit", "-1"], "none for no limit"),
        (["add", "t", "--retry-limit", "9999999999"], "retry_limit"),
        (["add", "t", "--min-backoff", "1h", "--max-backoff", "1s"], "min_backoff"),
        (["add", "t", "--at-most-once", "--retry-limit", "3"], "retry"),
        (["add", "t", "-d", "a", "--data-file", "b"], "not allowed with"),
        (["add", "t", "--data-file", "/nothing/here"], "the data cannot be read"),
        (["add", "t", "--cron", "61 * * * *"], "it goes from 0 to 59"),
        (["add", "t", "--cron", "@daily", "--every", "1h"], "two schedules"),
        (["add", "t", "+1h", "--every", "1h"], "a WHEN is of a job that comes once"),
        (["add", "t", "--every", "0s"], "period must be more than 0"),
        (["add", "t", "--cron", "@daily", "--tz", "Mars/Olympus"], "Mars/Olympus"),
        (["pause"], "say the ids of repeats, or --target"),
        (["pause", "a", "--target", "t"], "one of the two"),
        (["revive"], "say the ids of dead jobs, or --all"),
        (["revive", "a", "--all"], "one of the two"),
        (["revive", "a", "--target", "t"], "--target is for --all"),
        (["purge"], "the ids of dead jobs, or --before"),
        (["purge", "a", "--before", "now"], "one of the two"),
        (["purge", "a", "--dry-run"], "duewheel show ID"),
        (["purge", "--before", "later"], "is no time"),
        (["stats", "--watch", "--every", "often"], "is no duration"),
        (["cron", "5/15 * * * *"], "5-59/15"),
        (["cron", "@reboot"], "@reboot"),
        (["cron", "@daily", "--tz", "local"], "needs the name of a zone"),
        (["dashboard", "--port", "99999"], "must be a port"),
        (["migrate"], "a file is brought up to date by whoever opens it"),
    ],
)
def test_bad_input_is_refused_with_what_helps(cli, path, arguments, said):
    Scheduler(path).close()
    ended = cli(*arguments, *(["-f", path] if arguments and arguments[0] not in ("nothing", "lis") else []))
    assert ended.status == USAGE and ended.out == ""
    assert said in ended.err and ended.err.startswith("duewheel: ") and "Traceback" not in ended.err
    assert len(cli("list", "--json", "-f", path).records) == 0


def test_where_the_jobs_are_must_be_said(cli, path, monkeypatch):
    ended = cli("list")
    assert ended.status == USAGE and "-f FILE" in ended.err and "DUEWHEEL_DB" in ended.err
    monkeypatch.setenv("DUEWHEEL_DB", str(path))
    Scheduler(path).close()
    assert cli("list").status == FINE
    assert cli("-f", path.parent / "other.db", "list").status == UNREACHABLE
    assert cli("--json", "list").out == cli("list", "--json").out == ""


def test_a_file_that_is_none(cli, path):
    path.write_bytes(b"x" * 5_000)
    ended = cli("list", "-f", path)
    assert ended.status == UNREACHABLE and str(path) in ended.err
    assert cli("list", "-f", path.parent).status == UNREACHABLE
    (store,) = [one for one in cli("doctor", "-f", path, "--json").records if one["check"] == "store"]
    assert store["state"] == "fault"


def test_a_path_that_the_system_refuses(cli, path):
    for wrong in ("x" * 5_000, path / "below" / "a.file"):
        path.write_bytes(b"")
        for verb in ("list", "doctor", "add"):
            ended = cli(verb, *(["t"] if verb == "add" else []), "-f", wrong)
            assert ended.status in (FOUND, UNREACHABLE) and ended.out + ended.err and "Traceback" not in ended.err


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:s3cret@127.0.0.1:1/x",
        "postgres://user:s3cret@127.0.0.1:1/x",
        "postgresql://user@127.0.0.1:1/x?password=s3cret",
        "postgresql://user:s3cret@[/x",
        "mysql://user:s3cret@host/x",
    ],
)
@pytest.mark.parametrize("verb", [["list"], ["doctor"], ["doctor", "--json"], ["add", "t"]])
def test_a_password_is_never_said(cli, url, verb, monkeypatch):
    monkeypatch.setattr("duewheel.cli._reach._SERVER_PATIENCE_S", 0.01)
    ended = cli(*verb, "-f", url)
    assert ended.status and "s3cret" not in ended.out + ended.err
    assert "user" in ended.out + ended.err


def test_passwords_are_taken_out_of_texts():
    assert without_password("a postgresql://u:p%40@h/d b") == "a postgresql://u:***@h/d b"
    assert without_password("host=h password='a b' user=u") == "host=h password=*** user=u"
    assert without_password("postgresql://h/d?sslpassword=x&a=b") == "postgresql://h/d?sslpassword=***&a=b"
    assert without_password("postgresql://u@h/d") == "postgresql://u@h/d"


def test_the_module_is_the_command(path):
    ended = subprocess.run([*PROGRAM, "--version"], **PROCESS, timeout=60, check=True)
    assert ended.stdout.startswith("duewheel ")
    ended = subprocess.run([*PROGRAM, "list", "-f", path], **PROCESS, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (UNREACHABLE, "")


def test_help_names_every_verb(cli):
    out = cli("--help").out
    verbs = "list show add cancel move repeats pause resume trigger dead revive purge stats targets running tail"
    for verb in f"{verbs} explain doctor backup export import rotate migrate cron completion dashboard".split():
        assert f"    {verb} " in out
        assert cli(verb, "--help").status == FINE


@pytest.mark.skipif(sys.platform == "win32", reason="it has no SIGPIPE and no SIGINT of another process")
def test_who_reads_may_go(path):
    with Scheduler(path) as scheduler:
        scheduler.at_many([2**31] * 5_000, "t")
    for verb in (["list", "--json"], ["list", "-n", "0"], ["export"]):
        process = subprocess.Popen([*PROGRAM, *verb, "-f", path], **PROCESS)
        assert process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
        assert (process.wait(30), err) == (141, "")
        process.stderr.close()


@pytest.mark.skipif(sys.platform == "win32", reason="it has no SIGPIPE and no SIGINT of another process")
@pytest.mark.parametrize("verb", ["stats", "tail"])
def test_ctrl_c_is_quiet(path, verb):
    Scheduler(path).close()
    watch = ["--watch"] if verb == "stats" else []
    process = subprocess.Popen([*PROGRAM, verb, *watch, "--json", "--every", "10ms", "-f", path], **PROCESS)
    assert process.stdout.readline() if verb == "stats" else process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "Traceback" not in out + err


def test_the_time_that_it_takes_to_begin_is_that_of_few_modules():
    code = "import sys, duewheel.cli; print(*sorted(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], **PROCESS, timeout=60, check=True, env={**os.environ})
    loaded = set(ended.stdout.split())
    assert loaded.isdisjoint({"asyncio", "sqlite3", "sqlalchemy", "apscheduler", "starlette", "numpy", "ctypes"})
