"""What controls a target: how many of it run at once, how often it starts, and what is taken up before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from duewheel._checks import check_name, shown, whole_number
from duewheel._times import LAST_NS, delay_ns, exactly, span_ns

if TYPE_CHECKING:
    from datetime import timedelta

__all__ = ["Limit", "Rate"]

_MOST = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Rate:
    """How often a target starts: `n` times in `per` seconds in the long run, `burst` of them at once.

    A start is allowed at `max(now, T - (burst - 1) * per / n)`, and then `T = max(T, now) + per / n`, where
    `per / n` is rounded up to a nanosecond: at most `n + burst - 1` starts in any `per`. Every start counts, a retry
    too.

    **Time**: `per` is seconds or a `timedelta`, on the boot clock.
    **Raises** `TypeError` and `ValueError` for what is not as above, `OverflowError` for what 64 bits of nanoseconds do
    not hold.

    >>> Rate(5, per=60)
    Rate(n=5, per=60.0, burst=1)
    """

    n: int
    per: float | timedelta = 1.0
    burst: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", whole_number(self.n, "n", least=1))
        per_ns = delay_ns(self.per, "per")
        if per_ns == 0:
            raise ValueError(f"per must be more than 0 seconds, not {shown(self.per)}: without a limit say rate=None")
        object.__setattr__(self, "per", exactly(per_ns))
        object.__setattr__(self, "burst", whole_number(self.burst, "burst", least=1))
        if self._tolerance_ns > LAST_NS:
            raise OverflowError(
                f"burst is out of range: {self.burst} starts at a rate of {self.n} in {self.per} s take longer than "
                "64 bits of nanoseconds hold; give a smaller burst"
            )

    @property
    def _interval_ns(self) -> int:
        """Time from start to start in the long run."""
        return -(-delay_ns(self.per) // self.n)

    @property
    def _tolerance_ns(self) -> int:
        """How much sooner a start may come than that, after a rest."""
        return (self.burst - 1) * self._interval_ns


@dataclass(frozen=True, slots=True)
class Limit:
    """How many of a target run at once, over all nodes that share a database; over a file or in memory, here.

    **Raises** `TypeError` and `ValueError` for an `n` that is no int of 1 or more, and for another `across`.

    >>> Limit(3)
    Limit(n=3, across='nodes')
    """

    n: int
    across: Literal["nodes"] = "nodes"

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", whole_number(self.n, "n", least=1))
        if self.across != "nodes":
            raise ValueError(
                f"across must be 'nodes', not {shown(self.across)}: concurrency={self.n} counts one process alone"
            )


@dataclass(frozen=True, slots=True)
class Controls:
    """What a handler is registered with, checked; durations in nanoseconds."""

    concurrency: int | None = None
    is_over_nodes: bool = False
    rate: Rate | None = None
    priority: int = 0
    timeout: int | None = None
    dead: str | None = None

    def for_engine(self) -> tuple[int | None, bool, tuple[int, int] | None, int]:
        """Return what the extension takes of what decides when jobs start."""
        rate = None if self.rate is None else (self.rate._interval_ns, self.rate._tolerance_ns)
        return self.concurrency, self.is_over_nodes, rate, self.priority


NONE = Controls()
"""Those of a target that is not controlled."""


def checked(
    concurrency: int | Limit | None,
    rate: Rate | None,
    timeout: float | timedelta | None,
    priority: float | timedelta,
    dead: str | None,
) -> Controls:
    """Check what `handle` is given."""
    given = concurrency, rate, timeout, dead
    if given == (None, None, None, None) and priority == 0 and type(priority) is int:
        return NONE
    if rate is not None and not isinstance(rate, Rate):
        remedy = f"Rate({rate}) starts it so often in a second" if type(rate) is int else "Rate(5, per=60) is one"
        raise TypeError(f"rate must be a Rate or None, not {shown(rate)}: {remedy}")
    is_over_nodes = isinstance(concurrency, Limit)
    limit = concurrency.n if isinstance(concurrency, Limit) else concurrency
    if isinstance(limit, bool):
        raise TypeError(f"concurrency must be an int, a Limit or None, not {limit!r}: 1 runs one at a time")
    if limit is not None:
        limit = whole_number(limit, "concurrency", least=1, most=_MOST)
    if dead is not None:
        check_name(dead, "dead")
    return Controls(limit, is_over_nodes, rate, span_ns(priority, "priority"), _timeout_ns(timeout), dead)


def _timeout_ns(timeout: float | timedelta | None) -> int | None:
    if timeout is None:
        return None
    timeout_ns = delay_ns(timeout, "timeout")
    if timeout_ns == 0:
        raise ValueError(f"timeout must be more than 0 seconds, not {shown(timeout)}: without one say timeout=None")
    return timeout_ns


def check_dead(target: str, dead: str | None) -> None:
    """Refuse that deaths of a target schedule jobs of the same, which may die without end."""
    if dead is not None and dead == target:
        raise ValueError(f"dead must be another target than {target!r}: its jobs would follow each other without end")
