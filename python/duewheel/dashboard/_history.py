"""What the numbers of a scheduler were a while ago: counters have no past of their own."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from duewheel._core import Stats

BOUNDS = (0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 1.0, 10.0, 60.0, math.inf)
"""The bars of the histogram of lateness, in seconds."""

WINDOWS = {"minute": 60.0, "hour": 3_600.0, "life": math.inf}

SECONDS = 120
"""How much of the past the chart of the throughput shows."""

_MINUTES = 61
_EVERY_S = 0.9
"""No sample is taken sooner after another: several browsers may look."""


class Sample(NamedTuple):
    """Counters at a time."""

    when_s: float
    succeeded: int
    failed: int
    started: int
    lateness: tuple[int, ...]


class Flow(NamedTuple):
    """How many ended a second, for some seconds."""

    ago_s: float
    """When that ended, before now."""
    length_s: float
    succeeded: float
    failed: float


class Lateness(NamedTuple):
    """A histogram of starts."""

    counts: tuple[int, ...]
    """One a bound, not cumulative."""
    seconds: float | None
    """For how long it was counted; `None`: since the scheduler was made."""


class History:
    """Samples of the counters, taken while somebody looks: second by second, and one of each minute."""

    def __init__(self) -> None:
        self._seconds: deque[Sample] = deque(maxlen=SECONDS + 1)
        self._minutes: deque[Sample] = deque(maxlen=_MINUTES)

    def add(self, stats: Stats, now_s: float | None = None) -> None:
        """Take a sample, unless the last one is too near."""
        now = time.monotonic() if now_s is None else now_s
        if self._seconds and now - self._seconds[-1].when_s < _EVERY_S:
            return
        sample = Sample(now, stats.succeeded, stats.retried + stats.dead, stats.started, stats.lateness.buckets(BOUNDS))
        if self._seconds and sample.started < self._seconds[-1].started:
            self._seconds.clear()  # another process is the owner now, and has begun at 0
            self._minutes.clear()
        self._seconds.append(sample)
        if not self._minutes or now - self._minutes[-1].when_s >= 60:
            self._minutes.append(sample)

    def flows(self) -> list[Flow]:
        """Return what ended between the samples of the last two minutes, oldest first."""
        if not self._seconds:
            return []
        now_s, flows = self._seconds[-1].when_s, []
        for one, other in zip(self._seconds, list(self._seconds)[1:], strict=False):
            length_s, ago_s = other.when_s - one.when_s, now_s - other.when_s
            if ago_s < SECONDS:
                succeeded = (other.succeeded - one.succeeded) / length_s
                flows.append(Flow(ago_s, length_s, succeeded, (other.failed - one.failed) / length_s))
        return flows

    def rate(self, over_s: float = 5.0) -> float | None:
        """Return how many jobs were started a second, lately; `None`: nobody has looked for long enough."""
        samples = list(self._seconds)
        if len(samples) < 2:
            return None
        last = samples[-1]
        first = next(sample for sample in samples if last.when_s - sample.when_s <= over_s)
        if first is last:
            first = samples[-2]
        return (last.started - first.started) / (last.when_s - first.when_s)

    def lateness(self, window: str, stats: Stats) -> Lateness:
        """Return the histogram of a window, as far as somebody has looked, or since the beginning."""
        now = _apart(stats.lateness.buckets(BOUNDS))
        over_s = WINDOWS.get(window, math.inf)
        samples = [] if over_s == math.inf else [*self._minutes, *self._seconds]
        last_s = self._seconds[-1].when_s if self._seconds else 0.0
        within = [sample for sample in samples if last_s - sample.when_s <= over_s + 1]
        if not within:
            return Lateness(now, None)
        first = min(within)
        before = _apart(first.lateness)
        return Lateness(tuple(max(0, b - a) for a, b in zip(before, now, strict=True)), last_s - first.when_s)


def _apart(cumulative: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n - before for n, before in zip(cumulative, (0, *cumulative[:-1]), strict=True))
