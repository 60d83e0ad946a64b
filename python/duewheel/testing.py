"""Travel in time: clocks that stand still until a test moves them.

A scheduler that is given a ``ManualClock`` runs in virtual time. It has no threads: its handlers run on
the thread that advances the clock, one after another, each at exactly its own due time.

>>> clock = ManualClock()
>>> clock.advance(90)
>>> clock.now()
90.0
"""

import contextlib
import threading
import traceback
import weakref
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Protocol

from duewheel import _times
from duewheel._core import ManualTime
from duewheel._times import SECOND
from duewheel._watch import AtHand
from duewheel.errors import StateError

__all__ = ["ManualClock"]

_BOOT_ORIGIN_NS = 1_000 * SECOND
"""Where the boot clock begins: at another time than the wall clock, so that a mix-up of them shows."""

_NOTED = 5
"""How many further errors the note of the first one shows."""


class _Thread(threading.local):
    """State of the calling thread."""

    advancing = False  # it may be in a handler


_thread = _Thread()


class _Participant(Protocol):
    """A scheduler in virtual time: an engine or the reference."""

    def _manual_next(self) -> tuple[int, int] | None:
        """Return when (boot ns) the first execution can start, and its due (wall ns); ``None``: nothing can."""

    def _manual_run(self) -> bool:
        """Take up the one execution that is due first, on the calling thread; ``False``: none is due."""
        ...


class ManualClock:
    """Show the wall clock at ``start`` and move only when a call moves it.

    There are two clocks in one, as the machine has: the wall clock, which ``at`` follows and which may
    step, and the boot clock, which ``in_``, retries and ages follow and which only advances. Several
    schedulers may share a clock; what is due in them runs in the order of (start, due, attachment).

    With ``raise_errors`` what a handler raises comes out of the advance that ran it, an ``assert`` of a test
    included. It is raised at the end, when all has run and all is counted, logged and retried as ever. Of several the
    first is raised, with a note of the others. What a handler raises on an event loop after its advance has returned
    comes out of the next one. ``Snooze`` and ``Discard`` are no errors.

    **Time**: ``start`` is what ``at`` takes, an aware ``datetime`` or unix seconds.

    **Concurrency**: an advance or a step of another thread waits for the one under way. An advance that comes while a
    handler with a `timeout` runs there, and goes past the deadline, first moves the clocks to that: `event.expired`
    turns true, and what is due meanwhile starts later than its due.
    """

    def __init__(self, start: float | datetime = 0.0, *, raise_errors: bool = False) -> None:
        if not isinstance(raise_errors, bool):
            raise TypeError(f"raise_errors must be a bool, not {raise_errors!r}")
        self._time = ManualTime(_times.wall_ns(start, "start"), _BOOT_ORIGIN_NS, raise_errors)
        self._at_hand = AtHand(self)
        self._moving = threading.Lock()
        self._participants: list[weakref.ref[_Participant]] = []

    def __repr__(self) -> str:
        return f"<ManualClock at {self.now()!r}>"

    def now(self) -> float:
        """Read the wall clock, in unix seconds: ``now_ns`` divided by 10⁹."""
        return self.now_ns() / SECOND

    def now_ns(self) -> int:
        """Read the wall clock, in unix nanoseconds."""
        return self._time.wall()

    def advance(self, delay: float | timedelta) -> None:
        """Move both clocks by ``delay`` and run what falls due on the way, retries and new jobs too.

        Each execution starts with the clocks at its own due, or where they stand if that is past. A job
        that fails for ever without a backoff is always due, and the call does not return.

        **Time**: seconds or a ``timedelta``; a fraction of a nanosecond is rounded up. ``0`` runs what is due now.

        **Order**: by start, then due, then the order in which schedulers took this clock.

        **Raises**: ``StateError`` from a handler; ``ValueError`` for a negative delay; ``OverflowError`` past
        what 64 bits of nanoseconds hold; with ``raise_errors`` what handlers have raised.
        """
        delay_ns = _times.delay_ns(delay, "delay")
        self._refuse_reentry("advance")
        with self._turn_of(delay_ns) as left_ns:
            self._advance_by(left_ns, delay)

    def advance_to(self, when: float | datetime) -> None:
        """Move the wall clock to ``when``, the boot clock as far, and run what falls due as ``advance`` does.

        **Raises**: ``ValueError`` when that would be backwards, and as ``advance``.
        """
        target_ns = _times.wall_ns(when, "when")
        self._refuse_reentry("advance_to")
        with self._turn_of(target_ns - self.now_ns()):
            delay_ns = target_ns - self.now_ns()
            if delay_ns < 0:
                raise ValueError(f"when must not be before now ({self.now()!r}), not {when!r}: step() goes back")
            self._advance_by(delay_ns, when)

    def step(self, delta: float | timedelta) -> None:
        """Set the wall clock forward or back by ``delta`` and leave the boot clock where it is.

        Runs nothing: what has become due runs at the next ``advance``, which may be ``advance(0)``.

        **Time**: seconds or a ``timedelta``; a fraction of a nanosecond is rounded up.

        **Raises**: ``StateError`` from a handler; ``OverflowError`` past what 64 bits of nanoseconds hold.
        """
        delta_ns = _times.span_ns(delta, "delta")
        self._refuse_reentry("step")
        with self._moving:
            wall_ns = self._time.wall() + delta_ns
            self._time.set(_times.checked_ns(wall_ns, delta, "delta"), self._time.boot())

    def _attach(self, participant: _Participant) -> None:
        """Drive a scheduler from now on, for as long as it lives."""
        self._participants.append(weakref.ref(participant))

    def _refuse_reentry(self, call: str) -> None:
        if _thread.advancing:
            raise StateError(f"{call}() in a handler: its clock stands still until it returns")

    @contextlib.contextmanager
    def _turn_of(self, delay_ns: int) -> Iterator[int]:
        """Wait for the advance under way, but let the time of a handler pass that runs in it; how far is left to go."""
        with contextlib.ExitStack() as turn:
            target_ns = None
            if not self._moving.acquire(blocking=False):
                target_ns = self._time.boot() + delay_ns
                if not self._at_hand.pass_by(target_ns):
                    target_ns = None
                self._moving.acquire()
            turn.callback(self._moving.release)
            yield delay_ns if target_ns is None else max(target_ns - self._time.boot(), 0)

    def _advance_by(self, delay_ns: int, given: object) -> None:
        _times.checked_ns(self._time.wall() + delay_ns, given, "delay")
        target_ns = _times.checked_ns(self._time.boot() + delay_ns, given, "delay")
        _thread.advancing = True
        try:
            while (first := self._first(target_ns)) is not None:
                start_ns, participant = first
                self._move_to(start_ns)
                participant._manual_run()
            # Further already, where another thread has let the time of a handler pass.
            self._move_to(max(target_ns, self._time.boot()))
        finally:
            _thread.advancing = False
        if errors := self._time.take_errors():
            raise _with_notes(errors)

    def _first(self, target_ns: int) -> tuple[int, _Participant] | None:
        """Find the scheduler whose job starts first, until ``target_ns`` on the boot clock, and when."""
        now_ns = self._time.boot()
        best: tuple[int, int] | None = None
        chosen: _Participant | None = None
        for reference in tuple(self._participants):
            participant = reference()
            if participant is None:
                # In place: another thread may append meanwhile.
                self._participants.remove(reference)
                continue
            offer = participant._manual_next()
            if offer is None:
                continue
            rank = max(offer[0], now_ns), offer[1]
            # Strictly less: of equals the scheduler that was attached first.
            if rank[0] <= target_ns and (best is None or rank < best):
                best, chosen = rank, participant
        return None if best is None or chosen is None else (best[0], chosen)

    def _move_to(self, boot_ns: int) -> None:
        delta_ns = boot_ns - self._time.boot()
        self._time.set(self._time.wall() + delta_ns, boot_ns)


def _with_notes(errors: list[BaseException]) -> BaseException:
    """Return the first of several errors, with a note of the others."""
    first, *others = errors
    if others:
        lines = [line for error in others[:_NOTED] for line in traceback.format_exception_only(error)]
        more = f"… and {len(others) - _NOTED} more" if len(others) > _NOTED else ""
        first.add_note(f"handlers raised {len(others)} more in this advance:\n{''.join(lines)}{more}".rstrip())
    return first
