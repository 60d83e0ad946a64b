"""What programs read: the objects of `--json`, letter for letter."""

import pytest

from duewheel import Consistency, Scheduler
from duewheel.testing import ManualClock

START = 1_900_000_000  # 2030-03-17T17:46:40Z


@pytest.fixture
def golden(cli, path, quiet):
    """Calls over a file in which everything has a time that does not change."""
    clock = ManualClock(START)
    with Scheduler(path, clock=clock, workers=1, seed=7) as scheduler:
        scheduler.handle("fails", lambda event: {}["nothing"])
        scheduler.at(START, "fails", b"", id="dead-1", retry_limit=0)
        scheduler.at(START, "fails", b"", id="again-1", retry_limit=3, min_backoff=60, max_backoff=60)
        scheduler.at(START + 3_600, "mail", "grüße".encode(), id="mail-1")
        scheduler.at(START + 7_200.5, "mail", b"\x00\x01", id="mail-2", consistency=Consistency.AT_MOST_ONCE)
        scheduler.repeat("0 9 * * mon-fri", "report", b"x", tz="Europe/Paris", id="report")
        clock.advance(0)
    return lambda *arguments: cli(*arguments, "--json", "-f", path).out.splitlines()


def test_list(golden):
    assert golden("list") == [
        '{"id": "again-1", "target": "fails", "due": 1900000060000000000, '
        '"due_at": "2030-03-17T17:47:40.000000+00:00", "run": 2, "attempt": 2, "first_due": 1900000000000000000}',
        '{"id": "mail-1", "target": "mail", "due": 1900003600000000000, '
        '"due_at": "2030-03-17T18:46:40.000000+00:00", "run": 1, "attempt": 1}',
        '{"id": "mail-2", "target": "mail", "due": 1900007200500000000, '
        '"due_at": "2030-03-17T19:46:40.500000+00:00", "run": 1, "attempt": 1}',
        '{"id": "report", "target": "report", "due": 1900051200000000000, '
        '"due_at": "2030-03-18T08:00:00.000000+00:00", "run": 1, "attempt": 1}',
    ]


def test_show(golden):
    assert golden("show", "mail-2") == [
        '{"state": "pending", "id": "mail-2", "target": "mail", "due": 1900007200500000000, '
        '"due_at": "2030-03-17T19:46:40.500000+00:00", "run": 1, "attempt": 1, "data64": "AAE=", '
        '"options": {"retry_limit": 0, "min_backoff_ns": 1000000000, "max_backoff_ns": 3600000000000, '
        '"age_limit_ns": null, "at_most_once": true}}'
    ]


def test_dead(golden):
    (line,) = golden("dead")
    before, error, after = line.partition('"error": "Traceback')
    assert before == '{"id": "dead-1", "target": "fails", "reason": "failed", ' and error
    assert after.endswith(
        'KeyError: \'nothing\'\\n", "died": 1900000000000000000, "died_at": "2030-03-17T17:46:40.000000+00:00", '
        '"due": 1900000000000000000, "run": 1, "attempt": 1}'
    )


def test_repeats(golden):
    assert golden("repeats") == [
        '{"id": "report", "target": "report", "schedule": "Cron(\'0 9 * * mon-fri\', tz=\'Europe/Paris\')", '
        '"next": 1900051200000000000, "next_at": "2030-03-18T08:00:00.000000+00:00", "previous": null, '
        '"occurrence": 1, "missed": 0, "paused": false, "declared": false, "running": false}'
    ]


def test_export(golden):
    options = '"min_backoff_ns":1000000000,"max_backoff_ns":3600000000000,"age_limit_ns":null'
    lines = golden("export", "--no-dead")
    assert lines[1] == (
        '{"v":1,"kind":"job","id":"mail-1","target":"mail","due":1900003600000000000,'
        '"first_due":1900003600000000000,"run":1,"attempt":1,"data":"gr\\u00fc\\u00dfe",'
        f'"options":{{"retry_limit":5,{options},"at_most_once":false}}}}'
    )
    assert lines[3] == (
        '{"v":1,"kind":"repeat","id":"report","target":"report","schedule":"cron Europe/Paris 0 9 * * mon-fri",'
        '"next":1900051200000000000,"paused":false,"declared":false,"occurrence":1,"previous":null,"missed":0,'
        '"start":null,"end":null,"count":null,"spread_ns":0,"catch_up":"one","window_ns":null,"pause_on_dead":false,'
        f'"data":"x","options":{{"retry_limit":5,{options},"at_most_once":false}}}}'
    )


def test_changes(golden):
    assert golden("cancel", "mail-1", "mail-1") == [
        '{"id": "mail-1", "cancelled": true}',
        '{"id": "mail-1", "cancelled": false}',
    ]
    assert golden("move", "mail-2", "2031-01-01T00:00Z") == [
        '{"id": "mail-2", "moved": true, "due": 1924992000000000000, "due_at": "2031-01-01T00:00:00.000000+00:00"}'
    ]
    assert golden("pause", "report") == ['{"id": "report", "paused": true}']
    assert golden("resume", "report") == ['{"id": "report", "resumed": true}']
    assert golden("trigger", "report") == ['{"id": "report", "triggered": true}']
    assert golden("revive", "dead-1") == ['{"id": "dead-1", "revived": true}']
    assert golden("purge", "--before", "2030-01-01T00:00Z") == [
        '{"purged": 0, "before": 1893456000000000000, "before_at": "2030-01-01T00:00:00.000000+00:00", '
        '"dry_run": false}'
    ]
    assert golden("add", "t", "2031-01-01T00:00Z", "--id", "new") == [
        '{"id": "new", "target": "t", "due": 1924992000000000000, '
        '"due_at": "2031-01-01T00:00:00.000000+00:00", "run": 1, "attempt": 1}'
    ]


def test_explain(golden):
    (line,) = golden("explain", "dead-1")
    assert line == '{"id": "dead-1", "known": true, "said": "\'dead-1\' is dead, failed: KeyError: \'nothing\'"}'
