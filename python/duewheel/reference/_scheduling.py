"""Take in jobs: what is given is checked as a whole before anything is scheduled."""

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from duewheel import _times
from duewheel._checks import check_conflict, check_keywords, check_name, data_bytes
from duewheel._checks import headers as headers_of
from duewheel._core import JobOptions
from duewheel._log import ancient as _log_ancient
from duewheel._times import LAST_NS, SECOND
from duewheel.errors import DuplicateJobError
from duewheel.options import UNSET
from duewheel.reference._given import check_options, datas_of, items, taken
from duewheel.reference._outcomes import Keeping, keep_ns
from duewheel.reference._queue import MOST, Changed, Entry
from duewheel.reference._rules import resolve

When = float | datetime
Delay = float | timedelta


class Scheduling(Keeping):
    """The calls that schedule jobs which come once."""

    _base: JobOptions
    _closed: bool

    def at(self, when: When, target: str, data: Any = b"", *, id: str | None = None, **options: Any) -> str:
        """Schedule a job due at ``when`` on the wall clock; returns its id."""
        due = _times.wall_ns(when)
        name = self._schedule([(due, False)], target, [data], id, **options)[0]
        self._warn_if_ancient(due)
        return name

    def in_(self, delay: Delay, target: str, data: Any = b"", *, id: str | None = None, **options: Any) -> str:
        """Schedule a job due ``delay`` from now on the boot clock; returns its id."""
        return self._schedule([(self._boot_due(delay), True)], target, [data], id, **options)[0]

    def at_many(self, whens: Iterable[Any], target: str, datas: Any = None, **options: Any) -> Sequence[str]:
        """Schedule a job at each of ``whens``, in that order, all of them or none."""
        check_keywords("Scheduler.at_many", options)
        dues = [(_times.wall_ns(when), False) for when in items(whens, "whens")]
        names = self._schedule(dues, target, datas_of(datas, len(dues)), None, **options)
        if dues:
            self._warn_if_ancient(min(dues)[0])
        return names

    def in_many(self, delays: Iterable[Any], target: str, datas: Any = None, **options: Any) -> Sequence[str]:
        """Schedule a job after each of ``delays``, in that order, all of them or none."""
        check_keywords("Scheduler.in_many", options)
        dues = [(self._boot_due(delay), True) for delay in items(delays, "delays")]
        return self._schedule(dues, target, datas_of(datas, len(dues)), None, **options)

    def _boot_due(self, delay: object) -> int:
        due = self._clock.boot() + _times.delay_ns(delay)
        if max(due, due + self._queue.offset()) > LAST_NS:
            raise OverflowError(f"delay is out of range: {delay!r}; 64 bits of unix nanoseconds end in 2262")
        return due

    def _schedule(
        self,
        dues: list[tuple[int, bool]],
        target: str,
        datas: list[Any],
        id: str | None,
        options: JobOptions | None = None,
        headers: Any = None,
        keep: Any = None,
        key: str | None = None,
        on_conflict: str = "error",
        **keywords: Any,
    ) -> tuple[str, ...]:
        # Everything is checked before anything is scheduled: all of them or none.
        self._check_open()
        check_name(target, "target")
        payloads = [data_bytes(data) for data in datas]
        check_options(options)
        carried = headers_of(headers)
        kept_for = keep_ns(keep)
        given = {name: value for name, value in keywords.items() if value is not UNSET}
        resolved = resolve((options or JobOptions()).replace(**given), self._base)
        check_conflict(on_conflict, id)
        if key is not None:
            check_name(key, "key")
        if id is not None:
            check_name(id, "id")
            taken = self._queue.jobs.get(id)
            if taken is not None and on_conflict != "error":
                if on_conflict != "ignore":
                    due, on_boot = dues[0]
                    changed = Changed(target, payloads[0], resolved, carried, kept_for, key)
                    self._change(taken, changed, on_conflict, (due, on_boot))
                return (id,)
            if on_conflict == "ignore" and self._outcome_of(id) is not None:
                return (id,)
            self._check_free(id)
        ids = []
        for (due, on_boot), data in zip(dues, payloads, strict=True):
            name = str(uuid.uuid4()) if id is None else id
            job_due = due + self._queue.offset() if on_boot else due
            entry = Entry(name, target, job_due, data, resolved, due, on_boot, headers=carried, keep=kept_for, key=key)
            self._queue.insert(entry)
            self._counts["scheduled"] += 1
            ids.append(name)
        return tuple(ids)

    def interrupt(self, id: str) -> bool:
        """Ask what runs of a job to end: if it raises from then on it is dead; ``False``: nothing of this id runs."""
        self._check_open()
        check_name(id, "id")
        entry = self._queue.jobs.get(id)
        if entry is None or entry.stage != "running" or entry.event is None:
            return False
        entry.event._interrupt()
        return True

    def _change(self, entry: Entry, to: Changed, on_conflict: str, place: tuple[int, bool]) -> None:
        """Make a job another one of its id: in its place while it is pending, after what runs otherwise."""
        if entry.repeat is not None:
            raise DuplicateJobError(f"the job with the id {entry.id!r} is a repeat: repeat() edits it")
        if on_conflict == "replace":
            to.place = place
        if entry.stage == "running":
            if to.place is None and entry.follow is not None:
                to.place = entry.follow.place
            entry.follow = to
            return
        self._become(entry, to)

    def _become(self, entry: Entry, to: Changed) -> None:
        """Change a job that is pending: what is replaced begins anew, with the run that comes."""
        entry.target, entry.data, entry.options, entry.headers = to.target, to.data, to.options, to.headers
        entry.keep, entry.key = to.keep, to.key
        if to.place is None:
            self._queue.push(entry)  # its new target may have a handler
            return
        due, on_boot = to.place
        entry.job_due = due + self._queue.offset() if on_boot else due
        entry.attempt, entry.first_start = 1, None
        self._queue.move(entry, due, on_boot=on_boot)

    def _come_changed(self, entry: Entry, retry_due: int | None) -> bool:
        """Let what was changed while it ran follow, if it was: on its retry, or as the job that comes next."""
        to, entry.follow = entry.follow, None
        if to is None or self._closed:
            return False
        if retry_due is None:
            # Another job of its id; an update keeps the due.
            self._counts["scheduled"] += 1
            entry.attempt, entry.first_start = 1, None
            entry.run = min(entry.run + 1, MOST)
            if to.place is None:
                self._queue.move(entry, entry.due, on_boot=entry.on_boot)
        elif to.place is None:
            self._queue.move(entry, retry_due, on_boot=True)
        self._become(entry, to)
        return True

    def _check_free(self, id: str) -> None:
        check_name(id, "id")
        if id in self._queue.jobs or self._outcome_of(id) is not None:
            raise taken(id)

    def _warn_if_ancient(self, due: int) -> None:
        if due < self._clock.wall() - 365 * 86_400 * SECOND:
            _log_ancient(due)
