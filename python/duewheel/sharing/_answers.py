"""Answer calls of other processes in Python: those that the server does not answer itself, and those made once more."""

from __future__ import annotations

import json
import secrets
import threading
import weakref
from base64 import b64decode
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from duewheel._current import is_for_another
from duewheel._times import Nanoseconds, exactly
from duewheel.errors import ClosedError, DuplicateJobError
from duewheel.sharing import _words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from duewheel.options import JobOptions

_CURSORS = 64
"""How many iterations of other processes have a place here; past that the oldest begins anew."""

_SLACK_NS = 5_000_000
"""By how much what two processes make of the clocks may differ."""

_REMEMBERED_NS = 20_000_000_000
"""How long before the file was opened a call may have begun that was cut off, and is made once more."""

_DEAD_LOOKED_AT = 1_000
"""Among so many dead a job is looked for whose call was cut off."""


class _Moment(datetime):
    """A time that is read as exactly so many unix nanoseconds, where no float and no plain `datetime` may be."""

    value: int

    def __new__(cls, ns: int) -> _Moment:
        self = super().__new__(cls, 1970, 1, 1, tzinfo=UTC)
        self.value = ns
        return self

    def __sub__(self, other: object) -> Nanoseconds:  # type: ignore[override]  # from the epoch, and nothing else
        return Nanoseconds(self.value)


class Answers:
    """What the owner of a file answers."""

    def __init__(self, scheduler: Any) -> None:
        """Answer for a scheduler, one whose calls return when they are made."""
        self._found = weakref.ref(scheduler)
        self._cursors: dict[str, Iterator[Any]] = {}
        self._lock = threading.Lock()
        self._died = _died_of_late(scheduler)

    @property
    def _scheduler(self) -> Any:
        scheduler = self._found()
        if scheduler is None:
            raise ClosedError("the scheduler is closed")
        return scheduler

    def answer(self, line: bytes) -> bytes:
        """Return the line that answers this one."""
        number = None
        token = is_for_another.set(True)
        try:
            request = json.loads(line)
            number = request.get("id")
            params = request.get("params") or {}
            call = self._find(request["method"])
            return _words.answer(number, call(params))
        except Exception as error:
            return _words.failure(number, error)
        finally:
            is_for_another.reset(token)

    def _find(self, method: str) -> Callable[[dict[str, Any]], Any]:
        call = getattr(self, f"_do_{method}", None)
        if call is None:
            raise ValueError(f"the owner knows no call {method!r}: update its process, or have all use one version")
        return call  # type: ignore[no-any-return]

    def _do_schedule(self, params: dict[str, Any]) -> bool:
        options = _words.options_of(json.dumps(params["retry"]))
        data = b64decode(params.get("data", ""))
        self._schedule_one(params, params["id"], data, options, params.get("in"), params.get("at"))
        return True

    def _do_schedule_many(self, params: dict[str, Any]) -> bool:
        options = _words.options_of(json.dumps(params["retry"]))
        packed = b64decode(params["ids"])
        ids = [_id_of(packed[at : at + 16]) for at in range(0, len(packed), 16)]
        none: list[int | None] = [None] * len(ids)
        delays, whens = params.get("in") or none, params.get("at") or none
        datas = params.get("datas") or [""] * len(ids)
        for one, data, delay, when in zip(ids, datas, delays, whens, strict=True):
            self._schedule_one(params, one, b64decode(data), options, delay, when)
        return True

    def _schedule_one(
        self, params: dict[str, Any], id: str, data: bytes, options: JobOptions, delay: int | None, when: int | None
    ) -> None:
        """Schedule a job, unless that was done by a call that was cut off."""
        scheduler, target, again = self._scheduler, params["target"], params.get("again", False)
        given, others = params.get("given", False), params.get("keywords", {})
        if again and self._is_known(id, params["since"] - _SLACK_NS):
            return
        try:
            if when is not None:
                scheduler.at(_Moment(when), target, data, id=id, options=options, **others)
            elif delay is not None:
                left = max(0, delay - params.get("ago", 0))
                scheduler.in_(exactly(left), target, data, id=id, options=options, **others)
        except DuplicateJobError:
            if not again or (given and not self._is_same(id, target, data)):
                raise

    def _is_known(self, id: str, since_ns: int) -> bool:
        """Tell whether the job of a call that was first made then has been scheduled, and may be over."""
        died = self._died.get(id)
        return bool(self._scheduler._was_found(id, since_ns)) or (died is not None and died >= since_ns)

    def _is_same(self, id: str, target: str, data: bytes) -> bool:
        event = self._scheduler.get(id)
        return event is None or (event.target == target and event.data == data)

    def _do_repeat(self, params: dict[str, Any]) -> bool:
        options = _words.options_of(json.dumps(params["retry"]))
        data = b64decode(params["data"])
        carried = params.get("keywords", {})
        self._scheduler._repeat_defined(params["definition"], params["id"], params["target"], data, options, carried)
        return True

    def _do_cancel(self, params: dict[str, Any]) -> bool:
        return bool(self._scheduler.cancel(params["id"]))

    def _do_cancel_many(self, params: dict[str, Any]) -> int:
        return int(self._scheduler.cancel_many(params["ids"]))

    def _do_reschedule(self, params: dict[str, Any]) -> bool:
        return bool(self._scheduler.reschedule(params["id"], _Moment(params["at"])))

    def _do_pause(self, params: dict[str, Any]) -> bool:
        return bool(self._scheduler.pause(params["id"]))

    def _do_resume(self, params: dict[str, Any]) -> bool:
        return bool(self._scheduler.resume(params["id"]))

    def _do_pause_target(self, params: dict[str, Any]) -> bool:
        return bool(self._scheduler.pause(target=params["target"]))

    def _do_resume_target(self, params: dict[str, Any]) -> bool:
        return bool(self._scheduler.resume(target=params["target"]))

    def _do_trigger(self, params: dict[str, Any]) -> bool:
        return bool(self._scheduler.trigger(params["id"]))

    def _do_interrupt(self, params: dict[str, Any]) -> bool:
        return bool(self._scheduler.interrupt(params["id"]))

    def _do_revive(self, params: dict[str, Any]) -> bool:
        try:
            return bool(self._scheduler.revive(params["id"]))
        except DuplicateJobError:
            if not params.get("again"):
                raise
            return True  # by the call that was cut off

    def _do_outcome(self, params: dict[str, Any]) -> list[Any] | None:
        try:
            return _words.told_outcome(self._scheduler.outcome(params["id"]))
        except TimeoutError:
            return None

    def _do_purge(self, params: dict[str, Any]) -> int:
        before = params["before"]
        return int(self._scheduler.purge(None if before is None else _Moment(before)))

    def _do_purge_ids(self, params: dict[str, Any]) -> int:
        before = params["before"]
        return int(self._scheduler.purge(None if before is None else _Moment(before), ids=params["ids"]))

    def _do_get(self, params: dict[str, Any]) -> Any:
        event = self._scheduler.get(params["id"])
        return None if event is None else _words.told_event(event)

    def _do_get_repeat(self, params: dict[str, Any]) -> str | None:
        repeat = self._scheduler.get_repeat(params["id"])
        return None if repeat is None else repeat._tell()

    def _do_repeats(self, _: dict[str, Any]) -> list[str]:
        return [repeat._tell() for repeat in self._scheduler.repeats()]

    def _do_next(self, params: dict[str, Any]) -> Any:
        event = self._scheduler.next(*_bounds(params))
        return None if event is None else _words.told_event(event)

    def _do_between(self, params: dict[str, Any]) -> dict[str, Any]:
        start, end = _bounds(params)
        return self._page(
            params, lambda: self._scheduler.between(start, end, target=params["target"]), _words.told_event
        )

    def _do_dead(self, params: dict[str, Any]) -> dict[str, Any]:
        before = params["before"]
        when = None if before is None else _Moment(before)
        return self._page(params, lambda: self._scheduler.dead(target=params["target"], before=when), _words.told_dead)

    def _page(
        self, params: dict[str, Any], begin: Callable[[], Iterator[Any]], tell: Callable[[Any], Any]
    ) -> dict[str, Any]:
        """Return the next items of an iteration, and what to ask for those after them by."""
        cursor = params.get("cursor")
        with self._lock:
            items = self._cursors.pop(cursor, None) if cursor is not None else None
        if items is None:
            items = islice(begin(), params.get("seen", 0), None)
            cursor = secrets.token_hex(8)
        page = [tell(item) for item in islice(items, params["limit"])]
        if len(page) < params["limit"]:
            return {"items": page, "cursor": None}
        with self._lock:
            self._cursors[str(cursor)] = items
            while len(self._cursors) > _CURSORS:
                del self._cursors[next(iter(self._cursors))]
        return {"items": page, "cursor": cursor}

    def _do_stats(self, _: dict[str, Any]) -> Any:
        return json.loads(self._scheduler._told_stats())

    def _do_targets(self, _: dict[str, Any]) -> dict[str, str]:
        return {target: counted._tell() for target, counted in self._scheduler.targets().items()}

    def _do_running(self, _: dict[str, Any]) -> list[Any]:
        return [_words.told_running(running) for running in self._scheduler.running()]

    def _do_count(self, _: dict[str, Any]) -> int:
        return len(self._scheduler)

    def _do_idle(self, _: dict[str, Any]) -> bool:
        return bool(self._scheduler.wait(0))

    def _do_explain(self, params: dict[str, Any]) -> str:
        return str(self._scheduler.explain(params["id"]))

    def _do_deaths(self, params: dict[str, Any]) -> list[Any]:
        return [_words.told_dead(dead) for dead in self._scheduler._deaths(params["id"], limit=params["limit"])]

    def _do_paused_targets(self, _: dict[str, Any]) -> list[str]:
        return list(self._scheduler._paused_targets())

    def _do_backup(self, params: dict[str, Any]) -> None:
        self._scheduler.backup(params["path"])

    def _do_restore(self, params: dict[str, Any]) -> None:
        try:
            self._scheduler._restore(_words.event_of(params["event"]))
        except DuplicateJobError:
            if not params.get("again"):
                raise


def _died_of_late(scheduler: Any) -> dict[str, int]:
    """Return what was dead before anything ran here, interrupted by the death of an owner, and when it died.

    What dies later was found in the file, or is of a call that has been answered. So calls ask no store for it.
    """
    since_ns = scheduler._wall_ns() - _REMEMBERED_NS
    if not any(one.died >= since_ns for one in scheduler.dead(limit=1)):
        return {}
    dead = islice(scheduler.dead(), _DEAD_LOOKED_AT)
    return {one.event.job_id: one.died for one in dead if one.died >= since_ns}


def _bounds(params: dict[str, Any]) -> tuple[Any, Any]:
    start, end = params["start"], params["end"]
    return None if start is None else _Moment(start), None if end is None else _Moment(end)


def _id_of(packed: bytes) -> str:
    text = packed.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
