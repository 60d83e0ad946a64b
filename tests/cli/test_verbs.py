"""Each verb, over a file that nobody has and over a database, and over a file that another process has."""

import json
import time

from duewheel import Consistency, Cron
from duewheel.cli._ends import FINE, FOUND, UNREACHABLE, USAGE

DAY_NS = 86_400 * 10**9


def bury(place, *ids, target="t", wait_s=10):
    """Have jobs of these ids die."""

    def fail(event):
        raise ValueError(f"no luck with {event.job_id}")

    with place.open(workers=1) as scheduler:
        scheduler.handle(target, fail)
        for id in ids:
            scheduler.in_(0, target, id=id, retry_limit=0)
        assert scheduler.wait(wait_s)


def test_add_list_show_move_cancel(place, at):
    assert at("add", "mail", "2030-01-01T00:00Z", "--id", "b", "-d", "päivää").out == "b\n"
    assert at("add", "mail", "in", "1h", "--id", "a").out == "a\n"
    assert at("add", "other", "@1900000000.5", "--data-file", "-", "--id", "c", said=b"\xff\0").status == FINE
    assert [line.split()[-1] for line in at("list").out.splitlines()] == ["ID", "a", "b", "c"]
    assert [one["id"] for one in at("list", "--json", "--target", "mail").records] == ["a", "b"]
    assert [one["id"] for one in at("list", "--json", "--since", "2029-01-01T00:00Z", "-n", "1").records] == ["b"]
    assert [one["id"] for one in at("list", "--json", "--until", "+2h").records] == ["a"]

    shown = at("show", "b")
    assert shown.status == FINE and "päivää" in shown.out and "5 retries" in shown.out
    record = at("show", "c", "--json").record
    assert (record["due"], record["data64"], record["state"]) == (1_900_000_000_500_000_000, "/wA=", "pending")

    assert at("move", "c", "2031-01-01", "00:00", "--tz", "UTC").status == FINE
    assert at("show", "c", "--json").record["due_at"] == "2031-01-01T00:00:00.000000+00:00"
    assert at("cancel", "a", "b", "c").out == "cancelled a\ncancelled b\ncancelled c\n"
    assert at("list").out == "nothing is pending\n"


def test_a_delay_counts_from_now(place, at):
    before = time.time_ns()
    record = at("add", "t", "+90m", "--json").record
    assert 0 <= record["due"] - before - 5_400 * 10**9 < 60 * 10**9
    assert at("move", record["id"], "in 2h").status == FINE
    moved = at("show", record["id"], "--json").record["due"]
    assert 0 <= moved - before - 7_200 * 10**9 < 60 * 10**9


def test_add_takes_options(place, at):
    options = ["--retry-limit", "none", "--min-backoff", "100ms", "--max-backoff", "2m", "--age-limit", "1d"]
    at("add", "t", "+1h", "--id", "a", *options)
    at("add", "t", "+1h", "--id", "b", "--at-most-once")
    scheduler = place.open()
    try:
        options = scheduler.get("a").job.options
        found = (options.retry_limit, options.min_backoff, options.max_backoff, options.age_limit)
        assert found == (None, 0.1, 120, 86_400)
        assert scheduler.get("b").job.options.consistency is Consistency.AT_MOST_ONCE
    finally:
        scheduler.close()


def test_add_takes_what_a_job_carries(place, at):
    at("add", "t", "+1h", "--id", "a", "--header", "tenant=acme", "--header", "trace=1=2", "--key", "k")
    assert at("show", "a", "--json").record["headers"] == {"tenant": "acme", "trace": "1=2"}
    assert "tenant=acme" in at("show", "a").out
    assert at("add", "t", "+2h", "--id", "a", "--on-conflict", "ignore").status == FINE
    assert "--header is a name and a text" in at("add", "t", "--header", "tenant").err


def test_what_is_unknown_is_found(at):
    for verb in ("show", "explain", "cancel", "revive", "trigger", "pause", "resume"):
        ended = at(verb, "nobody")
        assert (ended.status, "nobody" in ended.err + ended.out) == (FOUND, True), verb
    assert at("move", "nobody", "+1s").status == FOUND
    assert at("cancel", "nobody", "--json").record == {"id": "nobody", "cancelled": False}


def test_an_id_that_is_taken_is_found(at):
    assert at("add", "t", "+1h", "--id", "a").status == FINE
    again = at("add", "t", "+1h", "--id", "a")
    assert again.status == FOUND and "'a' is pending or running" in again.err and again.out == ""


def test_repeats(place, at):
    assert at("add", "r", "--cron", "0 9 * * mon-fri", "--tz", "Europe/Paris", "--id", "r").out == "r\n"
    assert at("add", "s", "--every", "1m", "--id", "s").status == FINE
    records = at("repeats", "--json").records
    assert {one["id"]: one["schedule"] for one in records} == {
        "r": "Cron('0 9 * * mon-fri', tz='Europe/Paris')",
        "s": "Every(60)",
    }
    assert at("pause", "r", "s").out == "paused r\npaused s\n"
    assert all(one["paused"] for one in at("repeats", "--json").records)
    assert "paused" in at("explain", "r").out
    assert at("resume", "s", "--json").record == {"id": "s", "resumed": True}
    assert at("trigger", "s").out == "triggered s\n"
    assert "Every(60)" in at("repeats", "--target", "s").out
    assert at("show", "r", "--json").record["state"] == "repeat"
    assert "mon-fri" in at("show", "r").out
    assert at("cancel", "r", "s").status == FINE
    assert at("repeats").out == "there are no repeats\n"


def test_a_target_of_a_file_is_paused(a_file, cli):
    a_file.open().close()
    ended = cli("pause", *a_file.options, "--target", "t", "--json")
    assert (ended.status, ended.record) == (FINE, {"target": "t", "paused": True})
    with a_file.open(workers=1) as scheduler:
        scheduler.handle("t", lambda event: None)
        scheduler.in_(0, "t", id="held")
        assert scheduler.wait(10) and scheduler.stats().parked == 1
    assert cli("resume", *a_file.options, "--target", "t").out == "resumed t\n"
    assert cli("resume", *a_file.options, "--target", "t").out == "t is not paused\n"
    with a_file.open(workers=1) as scheduler:
        scheduler.handle("t", lambda event: None)
        assert scheduler.wait(10) and scheduler.stats().succeeded == 1


def test_dead_revive_purge(place, at):
    bury(place, "d", "e")
    forgotten = at("purge", "d", "e", "nobody")
    assert forgotten.out == "forgotten d\nforgotten e\n" and forgotten.status == FOUND
    assert "nobody: no dead job has this id" in forgotten.err
    bury(place, "a", "b")
    bury(place, "c", target="u")
    records = at("dead", "--json").records
    assert records[0]["id"] == "c" and {one["reason"] for one in records} == {"failed"}
    assert at("dead").out.count("ValueError: no luck with") == 3
    assert [one["id"] for one in at("dead", "--json", "--target", "u").records] == ["c"]
    limited = at("dead", "-n", "1")
    assert "more than these 1" in limited.err and limited.out.count("\n") == 2
    assert at("dead", "--before", "1d").out == "no job is dead that is asked for\n"

    shown = at("show", "a")
    assert "no luck with a" in shown.out and shown.status == FINE
    assert "is dead, failed" in at("explain", "a").out
    assert at("revive", "a").out == "revived a\n"
    assert at("revive", "--all", "--target", "u").out == "revived 1 job\n"
    assert sorted(one["id"] for one in at("list", "--json").records) == ["a", "c"]
    dry = at("purge", "--before", "now", "--dry-run")
    assert dry.out.startswith("would forget 1 dead job ")
    assert at("purge", "--before", "1d", "--json").record["purged"] == 0
    assert at("purge", "--before", "now", "--json").record["purged"] == 1
    assert at("dead").out == "no job is dead\n"


def test_revive_says_which_ids_are_taken(place, at):
    bury(place, "a", "b")
    at("add", "t", "+1h", "--id", "a")
    ended = at("revive", "--all", "--json")
    assert ended.record == {"revived": 1, "taken": 1} and ended.status == FOUND
    assert "a: not revived" in ended.err
    assert at("revive", "a").status == FOUND


def test_stats(place, at):
    at("add", "t", "+1h", "--id", "a")
    at("add", "t", "2020-01-01T00:00Z", "--id", "b")
    record = at("stats", "--json").record
    assert (record["pending"], record["overdue"], record["next_id"]) == (2, 1, "b")
    assert record["since_start"] is None
    out = at("stats").out
    assert "pending" in out and "next" in out
    watched = at("stats", "--watch", "--every", "1ms", "--looks", "3", "--json")
    assert [one["pending"] for one in watched.records] == [2, 2, 2]


def test_targets_and_what_runs_where_nothing_runs(place, at):
    assert at("running").out.startswith("nothing runs")
    at("add", "mail", "+1h")
    at("add", "mail", "+1h")
    assert at("running", "--json").out == ""
    found = {one["target"]: one["pending"] for one in at("targets", "--json").records}
    out = at("targets").out
    if place.options[0] == "-f" and len(place.options) == 2:  # a file
        assert found == {"mail": 2} and out.splitlines()[1].split() == ["mail", "2", "0", "0", "0", "0"]
    else:
        assert found == {} and "each node knows" in out


def test_what_is_paused_is_marked_where_nothing_runs(place, at):
    at("pause", "--target", "mail")
    assert [(one["target"], one["paused"]) for one in at("targets", "--json").records] == [("mail", True)]
    assert at("targets").out.splitlines()[1].split() == ["mail", "paused"]
    (found,) = [one for one in at("doctor", "--json").records if one["check"] == "targets"]
    assert found["said"] == "1 target paused: mail"


def test_tail_shows_the_dead_and_ends_after_so_many_looks(place, at):
    bury(place, "a", "b")
    out = at("tail", "--every", "1ms", "--looks", "2").out
    assert [line.split()[1:4] for line in out.splitlines()] == [["dead", "t", "a"], ["dead", "t", "b"]]
    assert at("tail", "-n", "1", "--looks", "1", "--json").record["id"] == "b"


def test_explain_says_that_nobody_runs_it(place, at):
    at("add", "t", "+1h", "--id", "a")
    out = at("explain", "a").out
    assert "is due in" in out and ("no process has the file" in out or "no node lives" in out)
    at("move", "a", "@1000")
    assert "ago" in at("explain", "a").out


def test_rotate_needs_keys(at):
    ended = at("rotate")
    assert ended.status == USAGE and "--keys" in ended.err


# A file that another process has, and does not share

EVERY_VERB = [
    ["list"],
    ["show", "a"],
    ["add", "t"],
    ["cancel", "a"],
    ["move", "a", "+1s"],
    ["explain", "a"],
    ["repeats"],
    ["pause", "a"],
    ["resume", "a"],
    ["trigger", "a"],
    ["dead"],
    ["revive", "a"],
    ["purge", "--before", "now"],
    ["stats"],
    ["targets"],
    ["running"],
    ["tail"],
    ["backup", "copy.db"],
    ["export"],
    ["import", "/dev/null"],
]


def test_a_file_that_is_not_shared_is_named_with_its_process_and_the_remedy(cli, owner, path, monkeypatch):
    monkeypatch.setattr("duewheel.cli._reach._PATIENCE_S", 0)
    for verb in EVERY_VERB:
        ended = cli(*verb, "-f", path)
        assert ended.status == UNREACHABLE and ended.out == "", verb
        assert f"process {owner.pid}" in ended.err and "share=True" in ended.err and str(path) in ended.err
    found = cli("doctor", "-f", path, "--json")
    assert found.status == FOUND
    (store,) = [one for one in found.records if one["check"] == "store"]
    assert store["state"] == "fault" and f"process {owner.pid}" in store["said"] and "share=True" in store["remedy"]


def test_a_file_that_is_not_there_is_made_by_who_puts_something_in(cli, path):
    for verb in EVERY_VERB:
        if verb[0] not in ("add", "import"):
            ended = cli(*verb, "-f", path)
            assert ended.status == UNREACHABLE and "there is no file" in ended.err, verb
            assert not path.exists()
    assert cli("doctor", "-f", path).status == UNREACHABLE
    made = cli("add", "t", "+1h", "-f", path)
    assert made.status == FINE and f"made {path}" in made.err
    assert len(cli("list", "-f", path, "--json").records) == 1


def test_a_command_waits_for_another_one(cli, path):
    """Two of cron at once: the second waits a moment."""
    import threading

    from duewheel import Scheduler

    holder = Scheduler(path)
    timer = threading.Timer(0.1, holder.close)
    timer.start()
    assert cli("list", "-f", path).out == "nothing is pending\n"
    timer.join()


def test_a_database_without_tables_says_how_they_are_made(cli, url, schema):
    place = ["-f", url, "--schema", schema]
    ended = cli("list", *place)
    assert ended.status == UNREACHABLE and "duewheel migrate" in ended.err
    assert "CREATE SCHEMA" in cli("migrate", *place, "--sql").out
    assert cli("migrate", *place, "--json").record == {"migrated": True, "schema": schema}
    assert cli("list", *place).out == "nothing is pending\n"


def test_backup(cli, a_file, path, tmp_path):
    cli("add", "t", "+1h", "--id", "a", *a_file.options)
    assert cli("backup", tmp_path / "copy.db", *a_file.options).out.startswith("made ")
    assert cli("list", "-f", tmp_path / "copy.db", "--json").record["id"] == "a"
    assert "exists already" in cli("backup", tmp_path / "copy.db", *a_file.options).err


def test_backup_of_a_database_names_the_tool_for_it(cli, a_database):
    a_database.open().close()
    ended = cli("backup", "copy.db", *a_database.options)
    assert ended.status == USAGE and "pg_dump" in ended.err


def test_the_cron_verb_shows_times(cli):
    ended = cli("cron", "30 2 * * *", "--tz", "Europe/Paris", "-n", "2", "--after", "2027-03-27T12:00Z", "--json")
    assert [one["at_utc"][:16] for one in ended.records] == ["2027-03-28T01:00", "2027-03-29T00:30"]
    text = cli("cron", "30 2 * * *", "--tz", "Europe/Paris", "-n", "2", "--after", "2027-03-27T12:00Z").out
    assert text == Cron("30 2 * * *", tz="Europe/Paris").describe(2, after=1_806_148_800) + "\n"
    assert json.loads(cli("cron", "0 0 1 1 *", "--tz", "+02:00", "-n", "1", "--json").out)["local"].endswith("+02:00")
