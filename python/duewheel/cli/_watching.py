"""The verbs that look at what goes on: stats, targets, running, tail."""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING, Any

from duewheel.cli._ends import FINE
from duewheel.cli._output import at_local, at_utc, counted, from_now, seconds, span
from duewheel.cli._shown import dead_fields, last_line
from duewheel.cli._tables import Column, fitted, plain
from duewheel.cli._when import read_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duewheel._core import DeadEvent, Event, Stats, TargetStats
    from duewheel._running import Running
    from duewheel.cli._call import Call
    from duewheel.cli._reach import Reached

_COUNTED = 10_000
"""What is counted one by one is counted so far: beyond, it is more."""
_NOW = ("pending", "parked", "running")
_COUNTERS = ("scheduled", "started", "succeeded", "retried", "snoozed", "dead", "cancelled", "missed")

_STATE = Column("STATE")
"""Only where a target is paused."""
TARGETS = (
    Column("TARGET", least=8),
    Column("PENDING", right=True),
    Column("RUNNING", right=True),
    Column("PARKED", rank=2, right=True),
    Column("SUCCEEDED", rank=1, right=True),
    Column("RETRIED", rank=4, right=True),
    Column("DEAD", right=True),
    Column("LATE P99", rank=3, right=True),
    Column("RUN P99", rank=5, right=True),
)
RUNNING = (
    Column("FOR", right=True),
    Column("TARGET", least=8),
    Column("ATTEMPT", rank=2, right=True),
    Column("WORKER", rank=1, least=6),
    Column("ID", cut="middle"),
)


def looks(call: Call) -> Iterator[Reached]:
    """Reach the jobs again and again; a file that nobody has is given up between two looks."""
    every_s = read_duration(call.args.every) / 1e9
    left = call.args.looks
    while True:
        with call.reach() as reached:
            while True:
                yield reached
                call.out.flush()
                left = None if left is None else left - 1
                if left == 0:
                    return
                if reached.how == "file":
                    break
                time.sleep(every_s)
        time.sleep(every_s)


def stats(call: Call) -> int:
    """Show how many jobs there are, and what has become of them."""
    if not call.args.watch:
        call.args.looks, call.args.every = 1, "0"
    before: dict[str, Any] | None = None
    for reached in looks(call):
        found = _stats_fields(reached)
        if call.out.as_json:
            call.out.record(**found)
        else:
            if call.args.watch:
                call.out.clear()
            _show_stats(call, found, before)
        before = found | {"looked": time.monotonic()}
    return FINE


def _stats_fields(reached: Reached) -> dict[str, Any]:
    calls, now_ns = reached.calls, time.time_ns()
    numbers = calls.stats()
    first = calls.next()
    overdue = sum(1 for _ in islice(calls.between(end=now_ns / 1e9), _COUNTED + 1))
    fields: dict[str, Any] = {"at": now_ns, "at_utc": at_utc(now_ns), "answers": reached.how}
    fields |= {name: getattr(numbers, name) for name in (*_NOW, "stuck")}
    if reached.how == "database":  # of this node, which runs nothing
        nodes = reached.other_nodes()
        fields |= {"pending": len(calls), "parked": None, "running": sum(node.running for node in nodes)}
        fields["nodes"] = len(nodes)
    fields |= {"overdue": min(overdue, _COUNTED), "overdue_is_more": overdue > _COUNTED}
    fields |= {"next": None if first is None else first.due, "next_id": None if first is None else first.job_id}
    dead = sum(1 for _ in calls.dead(limit=_COUNTED + 1))
    fields |= {"dead_kept": min(dead, _COUNTED), "dead_kept_is_more": dead > _COUNTED}
    fields["since_start"] = _counters(numbers) if reached.runs else None
    return fields


def _counters(numbers: Stats) -> dict[str, Any]:
    late = numbers.lateness
    fields = {name: getattr(numbers, name) for name in (*_COUNTERS, "revived", "dropped")}
    return fields | {"lateness": late.asdict()}


def _show_stats(call: Call, found: dict[str, Any], before: dict[str, Any] | None) -> None:
    out = call.out

    def line(name: str, value: Any, more: str = "", style: str = "") -> None:
        text = fitted(f"{name:<11}{value:>12}  {more}".rstrip(), out.width or 10_000, mark=out.mark)
        out.text(out.painted(text, style))

    def atleast(name: str) -> str:
        return f"{found[name]:,}{'+' if found[f'{name}_is_more'] else ''}"

    first = "" if found["next"] is None else f"next {from_now(found['next'], found['at'])}: {plain(found['next_id'])}"
    line("pending", f"{found['pending']:,}", first)
    if found["parked"] is not None and found["answers"] == "owner":
        parked = found["parked"]
        line("parked", f"{parked:,}", "their targets have no handler" if parked else "", "yellow" if parked else "")
    line("overdue", atleast("overdue"), style="yellow" if found["overdue"] else "")
    nodes = f"on {counted(found['nodes'], 'node')}" if "nodes" in found else ""
    line("running", f"{found['running']:,}", nodes)
    if found["stuck"]:
        line("stuck", f"{found['stuck']:,}", "past their timeouts", "yellow")
    line("dead, kept", atleast("dead_kept"), style="red" if found["dead_kept"] else "")
    counters = found["since_start"]
    if counters is None:
        if found["answers"] == "file":
            out.text("no process has the file open: nothing runs")
        return
    past_s = None if before is None else max(time.monotonic() - before["looked"], 1e-9)
    for name in _COUNTERS:
        rate = ""
        if past_s is not None and before is not None and before["since_start"]:
            rate = f"{(counters[name] - before['since_start'][name]) / past_s:,.1f}/s"
        line(name, f"{counters[name]:,}", rate)
    late = counters["lateness"]
    if late["count"]:
        line("late by", "", ", ".join(f"{name} {seconds(late[name])}" for name in ("p50", "p99", "max")))


def targets(call: Call) -> int:
    """Show the numbers of each target, and which are paused: also those of which there is no job."""
    out = call.out
    with call.reach() as reached:
        counted, paused = reached.calls.targets(), set(reached.calls._paused_targets())
    found = sorted({**dict.fromkeys(paused), **counted}.items())
    for name, numbers in found if out.as_json else ():
        out.record(target=name, paused=name in paused, **_target_fields(numbers))
    columns = (TARGETS[0], _STATE, *TARGETS[1:]) if paused else TARGETS
    rows = (_target_row(name, numbers, (name in paused) if paused else None) for name, numbers in found)
    if not out.as_json and not out.table(columns, rows):
        here = "no targets here: each node knows its own" if reached.how == "database" else "there are no targets"
        out.text(here)
    return FINE


def _target_fields(numbers: TargetStats | None) -> dict[str, Any]:
    if numbers is None:
        return dict.fromkeys((*_NOW, *_COUNTERS), 0) | {"lateness": None, "runtime": None}
    fields: dict[str, Any] = {key: getattr(numbers, key) for key in (*_NOW, *_COUNTERS)}
    return fields | {"lateness": numbers.lateness.asdict(), "runtime": numbers.runtime.asdict()}


def _target_row(name: str, numbers: TargetStats | None, is_paused: bool | None) -> tuple[list[str], str]:
    """Return the row of a target; `is_paused` is `None` where there is no column for it."""
    cells = [name or "(forgotten)"]
    if is_paused is not None:
        cells.append("paused" if is_paused else "")
    if numbers is None:
        return [*cells, *[""] * (len(TARGETS) - 1)], "yellow"
    counts = [f"{getattr(numbers, key):,}" for key in ("pending", "running")]
    counts.append(f"{numbers.parked:,}" if numbers.parked else "")
    counts += [f"{getattr(numbers, key):,}" for key in ("succeeded", "retried", "dead")]
    times = [seconds(one.p99) if one.count else "" for one in (numbers.lateness, numbers.runtime)]
    return [*cells, *counts, *times], "yellow" if is_paused or numbers.parked else ""


def running(call: Call) -> int:
    """Show what runs now."""
    out = call.out
    with call.reach() as reached:
        found = reached.calls.running()
        now_ns = time.time_ns()
        if out.as_json:
            for one in found:
                out.record(**_running_fields(one))
        elif not out.table(RUNNING, (_running_row(one, now_ns) for one in found)):
            other = " here: each node knows what runs on it" if reached.how == "database" else ""
            out.text("nothing runs" + other)
    return FINE


def _running_fields(one: Running) -> dict[str, Any]:
    event = one.event
    fields = {"id": event.job_id, "target": event.target, "run": event.run, "attempt": event.attempt}
    fields |= {"started": one.started, "started_at": at_utc(one.started)}
    return fields | {"worker": one.worker, "expired": one.expired}


def _running_row(one: Running, now_ns: int) -> tuple[list[str], str]:
    attempt = str(one.event.attempt) if one.event.attempt > 1 else ""
    row = [span(max(now_ns - one.started, 0)), one.event.target, attempt, str(one.worker), one.event.job_id]
    return row, "red" if one.expired else ""


# tail


def tail(call: Call) -> int:
    """Follow what starts and ends; what begins and ends between two looks is in the counts alone."""
    followed = _Followed(call)
    for reached in looks(call):
        followed.look(reached)
    return FINE


class _Followed:
    """What was seen at the last look."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._last_died = 0
        self._seen_dead: set[tuple[str, int]] = set()
        self._running: dict[str, Event] | None = None
        self._counts: dict[str, dict[str, int]] | None = None
        self._seen: list[tuple[int, str, str, dict[str, Any]]] = []

    def look(self, reached: Reached) -> None:
        """Write what is new since the last look, in the order of its times."""
        is_first = self._running is None
        dead = self._newly_dead(reached, call_last=self._call.args.last if is_first else None)
        if is_first and reached.how == "file":
            self._call.out.note("no process has the file open: nothing happens until one does")
        self._follow_running(reached, {one.event.job_id for one in dead})
        for one in reversed(dead):
            fields = dead_fields(one)
            self._see("dead", one.died, one.event.target, one.event.job_id, last_line(one.error), fields)
        self._follow_counts(reached)
        self._seen.sort(key=lambda one: one[0])
        for at, what, line, fields in self._seen:
            self._write(at, what, line, fields)
        self._seen.clear()

    def _newly_dead(self, reached: Reached, call_last: int | None) -> list[DeadEvent]:
        new = []
        for one in reached.calls.dead(limit=call_last):
            key = (one.event.job_id, one.died)
            if one.died < self._last_died:
                break
            if key not in self._seen_dead:
                new.append(one)
        if call_last is not None and not new:
            self._last_died = time.time_ns()
        if new:
            last = max(one.died for one in new)
            kept = self._seen_dead if last == self._last_died else set()
            self._seen_dead = kept | {(one.event.job_id, one.died) for one in new if one.died == last}
            self._last_died = last
        return new

    def _follow_running(self, reached: Reached, dead: set[str]) -> None:
        now = {one.event.id: one for one in reached.calls.running()} if reached.runs else {}
        before = self._running or {}
        for run, one in now.items():
            if run not in before:
                event, fields = one.event, _running_fields(one)
                self._see("started", one.started, event.target, event.job_id, f"attempt {event.attempt}", fields)
        for run, event in before.items():
            if run not in now and event.job_id not in dead:
                again = reached.calls.get(event.job_id)
                text = "" if again is None else f"due again {from_now(again.due, time.time_ns())}"
                fields = {"id": event.job_id, "target": event.target, "run": event.run, "attempt": event.attempt}
                fields["again"] = None if again is None else again.due
                self._see("ended", time.time_ns(), event.target, event.job_id, text, fields)
        self._running = {run: one.event for run, one in now.items()}

    def _follow_counts(self, reached: Reached) -> None:
        if not reached.runs:
            return
        now = {
            name: {key: getattr(numbers, key) for key in ("scheduled", "succeeded", "retried", "cancelled", "missed")}
            for name, numbers in reached.calls.targets().items()
        }
        for name, counts in sorted(now.items()) if self._counts is not None else ():
            before = (self._counts or {}).get(name, {})
            new = {key: count - before.get(key, 0) for key, count in counts.items() if count > before.get(key, 0)}
            if new:
                text = ", ".join(f"{count:,} {key}" for key, count in new.items())
                self._see("counts", time.time_ns(), name, "", text, {"target": name, **new})
        self._counts = now

    def _see(self, what: str, at: int, target: str, id: str, text: str, fields: dict[str, Any]) -> None:
        self._seen.append((at, what, "  ".join(plain(part) for part in (target, id, text) if part), fields))

    def _write(self, at: int, what: str, line: str, fields: dict[str, Any]) -> None:
        out = self._call.out
        if out.as_json:
            out.record(what=what, at=at, at_utc=at_utc(at), **fields)
            return
        line = fitted(f"{at_local(at)[11:]}  {what:<7}  {line}", out.width or 1_000_000, mark=out.mark)
        out.text(out.painted(line, {"dead": "red", "counts": "dim"}.get(what, "")))
