"""Travel in time: clocks that stand still until a test moves them.

A scheduler that is given a ``ManualClock`` runs in virtual time. It has no threads: its handlers run on
the thread that advances the clock, one after another, each at exactly its own due time.

>>> clock = ManualClock()
>>> clock.advance(90)
>>> clock.now()
90.0
"""

import math
import threading
import weakref
from datetime import UTC, datetime, timedelta
from numbers import Integral, Real
from typing import Any, Protocol

from duewheel._core import JobOptions, ManualTime
from duewheel.errors import StateError

__all__ = ["ManualClock"]

_SECOND = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_NS, _LAST_NS = -(2**63), 2**63 - 1

# Nobody may take the boot clock for the wall clock, so it begins at a time of its own.
_BOOT_ORIGIN_NS = 1_000 * _SECOND


class _Here(threading.local):
    """Whether the calling thread is inside an advance, and so possibly in a handler."""

    advancing = False


_here = _Here()


class _Participant(Protocol):
    """What runs in virtual time: an engine or the reference."""

    def _manual_next(self) -> tuple[int, int] | None:
        """Tell when (boot ns) the first execution can start, and its due (wall ns); ``None``: nothing can."""

    def _manual_run(self) -> bool:
        """Take up the one execution that is due first, on the calling thread; ``False``: none is due."""
        ...


class ManualClock:
    """Show the wall clock at ``start`` and move only when told to.

    There are two clocks in one, as the machine has: the wall clock, which ``at`` follows and which may
    step, and the boot clock, which ``in_``, retries and ages follow and which only advances. Several
    schedulers may share a clock; what is due in them runs in the order of (start, due, attachment).

    **Time**: ``start`` is what ``at`` takes, an aware ``datetime`` or unix seconds.

    **Concurrency**: an advance or a step of another thread waits for the one under way.
    """

    def __init__(self, start: float | datetime = 0.0) -> None:
        self._time = ManualTime(self._instant_ns(start, "start"), _BOOT_ORIGIN_NS)
        self._moving = threading.Lock()
        self._participants: list[weakref.ref[_Participant]] = []

    def __repr__(self) -> str:
        return f"<ManualClock at {self.now()!r}>"

    def now(self) -> float:
        """Read the wall clock, in unix seconds: ``now_ns`` divided by 10⁹."""
        return self.now_ns() / _SECOND

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
        what 64 bits of nanoseconds hold.
        """
        delay_ns = self._delay_ns(delay, "delay")
        self._refuse_reentry("advance")
        with self._moving:
            self._advance_by(delay_ns, delay)

    def advance_to(self, when: float | datetime) -> None:
        """Move the wall clock to ``when``, the boot clock as far, and run what falls due as ``advance`` does.

        **Raises**: ``ValueError`` when that would be backwards, and as ``advance``.
        """
        target_ns = self._instant_ns(when, "when")
        self._refuse_reentry("advance_to")
        with self._moving:
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
        delta_ns = self._span_ns(delta, "delta")
        self._refuse_reentry("step")
        with self._moving:
            wall_ns = self._time.wall() + delta_ns
            self._time.set(self._held(wall_ns, delta, "delta"), self._time.boot())

    def _attach(self, participant: _Participant) -> None:
        """Drive a scheduler from now on, for as long as it lives."""
        self._participants.append(weakref.ref(participant))

    def _refuse_reentry(self, call: str) -> None:
        if _here.advancing:
            raise StateError(f"{call}() in a handler: its clock stands still until it returns")

    def _advance_by(self, delay_ns: int, given: object) -> None:
        self._held(self._time.wall() + delay_ns, given, "delay")
        target_ns = self._held(self._time.boot() + delay_ns, given, "delay")
        _here.advancing = True
        try:
            while (first := self._first(target_ns)) is not None:
                start_ns, participant = first
                self._move_to(start_ns)
                participant._manual_run()
            self._move_to(target_ns)
        finally:
            _here.advancing = False

    def _first(self, target_ns: int) -> tuple[int, _Participant] | None:
        """Find who may start first, until ``target_ns`` on the boot clock, and when."""
        now_ns = self._time.boot()
        best: tuple[int, int] | None = None
        chosen: _Participant | None = None
        for reference in tuple(self._participants):
            participant = reference()
            if participant is None:
                # In place: meanwhile others may join.
                self._participants.remove(reference)
                continue
            offer = participant._manual_next()
            if offer is None:
                continue
            rank = max(offer[0], now_ns), offer[1]
            # Strictly smaller: of equals, the one that was attached first.
            if rank[0] <= target_ns and (best is None or rank < best):
                best, chosen = rank, participant
        return None if best is None or chosen is None else (best[0], chosen)

    def _move_to(self, boot_ns: int) -> None:
        delta_ns = boot_ns - self._time.boot()
        self._time.set(self._time.wall() + delta_ns, boot_ns)

    # What callers say of time, in nanoseconds. The reference asks its clock for it too: it is the
    # plain Python counterpart of the engine's conversion, and the only one.

    @classmethod
    def _instant_ns(cls, when: object, what: str = "when") -> int:
        """Convert an instant, an aware ``datetime`` or unix seconds, to unix nanoseconds."""
        if isinstance(when, datetime):
            if when.utcoffset() is None:
                raise ValueError(f"{what} must be an aware datetime, not the naive {when!r}")
            return cls._held(_timedelta_ns(when - _EPOCH), when, what)
        ns = _numpy_ns(when, "datetime64", what)
        if ns is None:
            ns = _seconds_ns(when, what, "an aware datetime or unix seconds")
        return cls._held(ns, when, what)

    @classmethod
    def _delay_ns(cls, delay: object, what: str = "delay") -> int:
        """Convert a delay, seconds or a ``timedelta``, that must not be negative."""
        ns = cls._span_ns(delay, what)
        # The ceiling of -1e-10 s is 0 ns, yet it is negative.
        if ns < 0 or (isinstance(delay, Real) and delay < 0):
            raise ValueError(f"{what} must not be negative: {delay!r}")
        return ns

    @classmethod
    def _span_ns(cls, span: object, what: str) -> int:
        """Convert seconds or a ``timedelta`` of either sign."""
        if isinstance(span, timedelta):
            return cls._held(_timedelta_ns(span), span, what)
        ns = _numpy_ns(span, "timedelta64", what)
        if ns is None:
            ns = _seconds_ns(span, what, "seconds or a timedelta")
        return cls._held(ns, span, what)

    @staticmethod
    def _held(ns: int, given: object, what: str) -> int:
        """Refuse what 64 bits do not hold."""
        if not _FIRST_NS <= ns <= _LAST_NS:
            raise OverflowError(f"{what} is out of range: {given!r}; 64 bits of nanoseconds end after 292 years")
        return ns


def _seconds_ns(value: object, what: str, allowed: str) -> int:
    # NumPy's timedelta64 registers as an Integral, yet counts no seconds.
    if isinstance(value, bool) or not isinstance(value, Real) or type(value).__name__ == "timedelta64":
        raise TypeError(f"{what} must be {allowed}, not {value!r}")
    if isinstance(value, Integral):
        return int(value) * _SECOND
    seconds = float(value)
    if not math.isfinite(seconds):
        raise ValueError(f"{what} must be finite, not {value!r}")
    numerator, denominator = seconds.as_integer_ratio()
    return -(-numerator * _SECOND // denominator)


def _timedelta_ns(delta: timedelta) -> int:
    return ((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) * 1_000


def _exact(ns: int) -> float | timedelta:
    """Say nanoseconds so that ``JobOptions`` reads the same number back.

    It takes the ceiling of a float: the largest float that is not above ``ns`` has it for its ceiling.
    """
    if ns % 1_000 == 0:
        return timedelta(microseconds=ns // 1_000)
    seconds = ns / _SECOND
    numerator, denominator = seconds.as_integer_ratio()
    return seconds if numerator * _SECOND <= ns * denominator else math.nextafter(seconds, 0.0)


def _numpy_ns(value: object, kind: str, what: str) -> int | None:
    """Convert one of NumPy's dates or spans; ``None``: it is none."""
    if type(value).__module__ != "numpy" or type(value).__name__ != kind:
        return None
    from duewheel._numpy import scalar_ns

    return int(scalar_ns(value, what))


# What else callers say, read for the reference as the engine reads it.


def _check_name(value: object, what: str) -> None:
    """Refuse what is not 1 to 255 bytes of UTF-8."""
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {value!r}")
    try:
        length = len(value.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{what} must be valid Unicode, without lone surrogates: {value!r}") from None
    if not 1 <= length <= 255:
        raise ValueError(f"{what} must have 1 to 255 bytes of UTF-8, not {length}: {value!r}")


def _check_options(options: object) -> None:
    if options is not None and not isinstance(options, JobOptions):
        raise TypeError(f"options must be JobOptions or None, not {options!r}")


def _bytes(data: Any) -> bytes:
    try:
        return b"" if data is None else bytes(memoryview(data))
    except TypeError:
        raise TypeError(f"data must be bytes-like, not {data!r}") from None


def _items(values: Any, what: str) -> list[Any]:
    if isinstance(values, str | bytes) or not hasattr(values, "__iter__"):
        raise TypeError(f"{what} must be a sequence of times, not {values!r}")
    return list(values)


def _datas(datas: Any, count: int) -> list[Any]:
    if datas is None:
        return [b""] * count
    if isinstance(datas, str | bytes) or not hasattr(datas, "__iter__"):
        raise TypeError(f"datas must be a sequence of bytes-like objects, one a job, not {datas!r}")
    given = list(datas)
    if len(given) != count:
        raise ValueError(f"datas must be as many as the dues: {len(given)} for {count}")
    return given
