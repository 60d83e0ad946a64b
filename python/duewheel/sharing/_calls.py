"""The calls of a scheduler, made by the owner of its file."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from duewheel import _checks
from duewheel._core import Ids, Repeat, ShareRequests, Stats, TargetStats, check_bounds, timeout_s
from duewheel._pauses import one_of
from duewheel._times import delay_ns, wall_ns
from duewheel.errors import StateError
from duewheel.sharing import _words
from duewheel.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from os import PathLike
    from typing import TypeAlias, Unpack

    from typing_extensions import Buffer

    from duewheel._core import (
        DeadEvent,
        Event,
        JobOptions,
        Outcome,
        Schedule,
        _Array,
        _JobKeywords,
        _ManyKeywords,
        _RepeatKeywords,
    )
    from duewheel._running import Running
    from duewheel.sharing._link import Link

    Adding: TypeAlias = Callable[[str, Mapping[str, str]], dict[str, str]]

_FIELDS = frozenset(_checks.KEYWORDS["JobOptions"])

_PAGE = 500
"""How many events or dead jobs are asked for at once."""

_LOOKS_EVERY_S = 0.05
"""How often a wait asks the owner whether anything is left."""


def _bound(value: datetime | float | None, what: str) -> int | None:
    return None if value is None else wall_ns(value, what)


def _others(call: str, keywords: Any, id: str | None = None) -> dict[str, Any]:
    """Take out of the keywords of a call those that are no options, checked: the owner reads them."""
    others = {name: keywords.pop(name) for name in list(keywords) if name not in _FIELDS} if keywords else {}
    _checks.check_keywords(call, others)
    # Here, for JSON has names and texts of what is none.
    if "headers" in others:
        others["headers"] = _checks.headers(others["headers"])
    if others.get("key") is not None:
        _checks.check_name(others["key"], "key")
    if "on_conflict" in others:
        _checks.check_conflict(others["on_conflict"], id)
    if others.get("keep") is not None:
        delay_ns(others["keep"], "keep")
        if isinstance(others["keep"], timedelta):
            others["keep"] = others["keep"].total_seconds()
    return others


class Calls:
    """The calls of `duewheel.Scheduler` about jobs; see there. Each is durable as the owner's is."""

    _link: Link
    _requests: ShareRequests
    _scheduling: Adding | None = None
    """What plugins of this process add to the headers of a job."""

    def at(
        self,
        when: datetime | float,
        target: str,
        data: Buffer = b"",
        *,
        id: str | None = None,
        options: JobOptions | None = None,
        connection: Any = None,
        **job_options: Unpack[_JobKeywords],
    ) -> str:
        """Schedule a job for a time of the wall clock; return its id. As `duewheel.Scheduler.at`."""
        return self._schedule(False, when, target, data, id, options, connection, job_options)

    def in_(
        self,
        delay: float | timedelta,
        target: str,
        data: Buffer = b"",
        *,
        id: str | None = None,
        options: JobOptions | None = None,
        connection: Any = None,
        **job_options: Unpack[_JobKeywords],
    ) -> str:
        """Schedule a job after a delay from now; return its id. As `duewheel.Scheduler.in_`."""
        return self._schedule(True, delay, target, data, id, options, connection, job_options)

    def _schedule(
        self,
        is_delay: bool,
        time: Any,
        target: str,
        data: Buffer,
        id: str | None,
        options: JobOptions | None,
        connection: Any,
        job_options: _JobKeywords,
    ) -> str:
        if connection is not None:
            raise StateError("connection= is for jobs in a PostgreSQL database, and this scheduler's are in a file")
        others = _others("Scheduler.in_" if is_delay else "Scheduler.at", job_options, id)
        made, line = self._requests.schedule(is_delay, time, target, data, id, options, job_options)
        others = self._with_added(target, others)
        reply = self._link.exchange(_words.with_keywords(line, others) if others else line)
        if reply != _words.DONE:
            _words.result(reply)
        return made

    def _with_added(self, target: str, keywords: dict[str, Any]) -> dict[str, Any]:
        """Return the keywords of a job with the headers that plugins add where it is scheduled: here."""
        if self._scheduling is None:
            return keywords
        headers = self._scheduling(target, keywords.get("headers") or {})
        return {**keywords, "headers": headers} if headers else keywords

    def at_many(
        self,
        whens: Sequence[datetime | float] | Buffer | _Array,
        target: str,
        datas: Sequence[Buffer] | None = None,
        *,
        options: JobOptions | None = None,
        **job_options: Unpack[_ManyKeywords],
    ) -> Sequence[str]:
        """Schedule many jobs of one target, all of them or none; return their ids. As `duewheel.Scheduler.at_many`."""
        return self._many(False, whens, target, datas, options, job_options)

    def in_many(
        self,
        delays: Sequence[float | timedelta] | Buffer | _Array,
        target: str,
        datas: Sequence[Buffer] | None = None,
        *,
        options: JobOptions | None = None,
        **job_options: Unpack[_ManyKeywords],
    ) -> Sequence[str]:
        """Schedule many jobs after delays from now, as `at_many` does; return their ids."""
        return self._many(True, delays, target, datas, options, job_options)

    def _many(
        self,
        are_delays: bool,
        times: Any,
        target: str,
        datas: Sequence[Buffer] | None,
        options: JobOptions | None,
        job_options: _ManyKeywords,
    ) -> Ids:
        others = _others("Scheduler.in_many" if are_delays else "Scheduler.at_many", job_options)
        ids, line = self._requests.schedule_many(are_delays, times, target, datas, options, job_options)
        others = self._with_added(target, others)
        _words.result(self._link.exchange(_words.with_keywords(line, others) if others else line))
        return ids

    def repeat(
        self,
        schedule: Schedule | str | timedelta | float,
        target: str,
        data: Buffer = b"",
        **keywords: Unpack[_RepeatKeywords],
    ) -> str:
        """Schedule a job that comes again; return its id. As `duewheel.Scheduler.repeat`."""
        terms: Any = keywords
        if self._scheduling is not None:
            self._requests.repeat(schedule, target, data, keywords)  # refuses what is none before they are called
            terms = self._with_added(target, dict(keywords))
        made, line = self._requests.repeat(schedule, target, data, terms)
        _words.result(self._link.exchange(line))
        return made

    def cancel(self, id: str, *, connection: Any = None) -> bool:
        """Withdraw a pending job. As `duewheel.Scheduler.cancel`."""
        if connection is not None:
            raise StateError("connection= is for jobs in a PostgreSQL database, and this scheduler's are in a file")
        return bool(self._of_id("cancel", id))

    def cancel_many(self, ids: Iterable[str]) -> int:
        """Withdraw many pending jobs; return how many were pending. As `duewheel.Scheduler.cancel_many`."""
        return int(self._link.call("cancel_many", ids=_checks.listed_ids(ids)))

    def reschedule(self, id: str, when: datetime | float) -> bool:
        """Move a pending job to another time of the wall clock. As `duewheel.Scheduler.reschedule`."""
        at = wall_ns(when)
        return bool(self._of_id("reschedule", id, at=at))

    def pause(self, id: str | None = None, *, target: str | None = None) -> bool:
        """Hold back a repeat, or all of a target, until it is resumed. As `duewheel.Scheduler.pause`."""
        one_of("pause", id, target)
        return self._of_target("pause_target", target) if id is None else bool(self._of_id("pause", id))

    def resume(self, id: str | None = None, *, target: str | None = None) -> bool:
        """Let a paused repeat, or a target, go on. As `duewheel.Scheduler.resume`."""
        one_of("resume", id, target)
        return self._of_target("resume_target", target) if id is None else bool(self._of_id("resume", id))

    def _of_target(self, method: str, target: object) -> bool:
        _checks.check_name(target, "target")
        return bool(self._link.call(method, target=target))

    def trigger(self, id: str) -> bool:
        """Have a repeat run once more, as soon as possible. As `duewheel.Scheduler.trigger`."""
        return bool(self._of_id("trigger", id))

    def interrupt(self, id: str) -> bool:
        """Ask what runs of a job in the owner to end. As `duewheel.Scheduler.interrupt`."""
        return bool(self._of_id("interrupt", id))

    def revive(self, id: str) -> bool:
        """Make the newest dead job of this id due now, from attempt 1. As `duewheel.Scheduler.revive`."""
        return bool(self._of_id("revive", id))

    def outcome(self, id: str, timeout: float | timedelta | None = 0) -> Outcome:
        """Return how a job has ended that was scheduled with `keep=`. As `duewheel.Scheduler.outcome`.

        The owner is asked twenty times a second.
        """
        seconds = timeout_s(timeout)
        end = None if seconds is None else time.monotonic() + seconds
        while (told := self._of_id("outcome", id)) is None:
            left_s = _LOOKS_EVERY_S if end is None else min(_LOOKS_EVERY_S, end - time.monotonic())
            if left_s <= 0:
                raise TimeoutError(f"the job {id!r} is not over yet")
            time.sleep(left_s)
        return _words.outcome_of(told)

    def purge(self, before: datetime | float | None = None, *, ids: Iterable[str] | None = None) -> int:
        """Forget the dead: that died before a time, or of ids, or all. As `duewheel.Scheduler.purge`."""
        end = _bound(before, "before")
        if ids is None:
            return int(self._link.call("purge", before=end))
        # Of another name: an owner that knew no ids would forget all.
        return int(self._link.call("purge_ids", before=end, ids=_checks.listed_ids(ids)))

    def get(self, id: str) -> Event | None:
        """Return the pending event of a job, or `None`."""
        told = self._of_id("get", id)
        return None if told is None else _words.event_of(told)

    def get_repeat(self, id: str) -> Repeat | None:
        """Return the repeat of this id, pending or running, if there is one."""
        told = self._of_id("get_repeat", id)
        return None if told is None else Repeat._told(told)

    def repeats(self) -> Iterator[Repeat]:
        """Iterate over the repeats, in the order of their dues."""
        return map(Repeat._told, self._link.call("repeats"))

    def next(self, start: datetime | float | None = None, end: datetime | float | None = None) -> Event | None:
        """Return the first pending event with `start <= due < end`, or `None`. As `duewheel.Scheduler.next`."""
        told = self._link.call("next", start=_bound(start, "start"), end=_bound(end, "end"))
        return None if told is None else _words.event_of(told)

    def between(
        self,
        start: datetime | float | None = None,
        end: datetime | float | None = None,
        *,
        target: str | None = None,
    ) -> Iterator[Event]:
        """Iterate over the pending events with `start <= due < end`. As `duewheel.Scheduler.between`."""
        check_bounds(start, end, target)
        bounds = {"start": _bound(start, "start"), "end": _bound(end, "end"), "target": target}
        return self._pages("between", _words.event_of, bounds, None)

    def dead(
        self, *, target: str | None = None, before: datetime | float | None = None, limit: int | None = None
    ) -> Iterator[DeadEvent]:
        """Iterate over the jobs that ended as dead, newest first. As `duewheel.Scheduler.dead`."""
        if target is not None:
            _checks.check_name(target, "target")
        most = None if limit is None else _checks.whole_number(limit, "limit", most=2**63 - 1)
        which = {"target": target, "before": _bound(before, "before")}
        return self._pages("dead", _words.dead_of, which, most)

    def _pages(self, method: str, made_of: Any, params: dict[str, Any], left: int | None) -> Iterator[Any]:
        """Iterate over what comes in pages; the owner keeps its place, and begins anew where it has lost it."""
        page = self._link.call(method, **params, limit=_PAGE if left is None else min(left, _PAGE))

        def each() -> Iterator[Any]:
            nonlocal page, left
            seen = 0
            while True:
                for told in page["items"]:
                    if left is not None:
                        if left == 0:
                            return
                        left -= 1
                    seen += 1
                    yield made_of(told)
                if page["cursor"] is None or left == 0:
                    return
                limit = _PAGE if left is None else min(left, _PAGE)
                page = self._link.call(method, **params, limit=limit, cursor=page["cursor"], seen=seen)

        return each()

    def stats(self) -> Stats:
        """Return what the owner holds now and has done since it opened the file."""
        reply = self._link.exchange(_words.call("stats"))
        told = _words.result(reply)
        return Stats._told(_words.text(told))

    def targets(self) -> Mapping[str, TargetStats]:
        """Return what the owner counts of each target, by its name. As `duewheel.Scheduler.targets`."""
        told = self._link.call("targets")
        return MappingProxyType({target: TargetStats._told(counted) for target, counted in told.items()})

    def running(self) -> list[Running]:
        """Return what runs in the owner now, in the order of starts. As `duewheel.Scheduler.running`."""
        return [_words.running_of(told) for told in self._link.call("running")]

    def explain(self, id: str) -> str:
        """Say why the job or repeat of this id does not run now, or that it does. As `duewheel.Scheduler.explain`."""
        return str(self._of_id("explain", id))

    def _deaths(self, id: str, *, limit: int | None = None) -> Iterator[DeadEvent]:
        """Iterate over the deaths of one id, newest first."""
        return map(_words.dead_of, self._of_id("deaths", id, limit=limit))

    def _paused_targets(self) -> list[str]:
        """Return the targets that are paused, in the order of their names."""
        return list(self._link.call("paused_targets"))

    def backup(self, path: str | PathLike[str]) -> None:
        """Copy the file into a new one while it is in use. As `duewheel.Scheduler.backup`."""
        self._link.call("backup", path=str(Path(path).absolute()))

    def wait(self, timeout: float | timedelta | None = None) -> bool:
        """Wait until nothing is pending or running, parked jobs aside; `False` at the timeout.

        The owner is asked twenty times a second.
        """
        seconds = timeout_s(timeout)
        end = None if seconds is None else time.monotonic() + seconds
        while not self._link.call("idle"):
            left_s = _LOOKS_EVERY_S if end is None else min(_LOOKS_EVERY_S, end - time.monotonic())
            if left_s <= 0:
                return False
            time.sleep(left_s)
        return True

    @property
    def storage(self) -> Storage:
        """What is pending, as a store of events."""
        return Storage(self)  # type: ignore[arg-type]  # the same calls

    def _restore(self, event: Event) -> None:
        self._link.call("restore", event=_words.told_event(event))

    def _of_id(self, method: str, id: str, **params: Any) -> Any:
        _checks.check_name(id, "id")
        return self._link.call(method, id=id, **params)

    def __contains__(self, id: str) -> bool:
        return self.get(id) is not None

    def __len__(self) -> int:
        return int(self._link.call("count"))

    def __bool__(self) -> bool:
        return True
