"""Metrics of a scheduler for Prometheus, read when they are scraped.

>>> from prometheus_client import CollectorRegistry, generate_latest
>>> from duewheel import Scheduler
>>> from duewheel.prometheus import Collector
>>> registry = CollectorRegistry()
>>> with Scheduler() as scheduler:
...     registry.register(Collector(scheduler))
...     scheduler.handle("greet", print)
...     text = generate_latest(registry).decode()  # doctest: +ELLIPSIS
<function ...>
>>> "duewheel_overdue_seconds 0.0" in text
True

The metrics are a table in docs/monitoring.md, beside a dashboard for Grafana and rules that alert.
"""

from __future__ import annotations

import itertools
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from duewheel._answering import answering, file_of
from duewheel._extras import missing
from duewheel.errors import ClosedError, StorageError

try:
    import prometheus_client.registry
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
    from prometheus_client.utils import floatToGoString
except ImportError as error:
    raise missing("duewheel.prometheus", "prometheus_client", "duewheel[prometheus]", error) from error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from prometheus_client.metrics_core import Metric

    from duewheel import aio, sharing
    from duewheel._core import Event, Lateness, Repeat, Stats, TargetStats
    from duewheel.scheduler import Scheduler

__all__ = ["Collector"]

LATENESS_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 60.0, 3600.0)
RUN_BUCKETS = (0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0)

_COUNTERS = {
    "scheduled": "Jobs that were scheduled, and occurrences of repeats.",
    "started": "Attempts that were started, those of retries and snoozes included.",
    "succeeded": "Jobs whose handler returned.",
    "retried": "Attempts that failed and are tried again.",
    "snoozed": "Attempts that their handler put off.",
    "cancelled": "Jobs that were withdrawn before they started.",
    "missed": "Times of repeats that were passed over or merged into a later one.",
}
_STATES = ("pending", "parked", "running")

_SIDE_FILES = ("", "-ops", "-wal")
_HELD_BACK = 1_000
"""How many paused repeats are passed over to find what is overdue."""


class Source(Protocol):
    """What is asked at a scrape: a scheduler, or a client of one."""

    def stats(self) -> Stats:
        """Return what it holds and has done."""
        ...

    def targets(self) -> Mapping[str, TargetStats]:
        """Return the same for each target."""
        ...

    def get_repeat(self, id: str) -> Repeat | None:
        """Return a repeat."""
        ...

    def between(self, *, end: float | None = None) -> Iterator[Event]:
        """Iterate over what is pending."""
        ...


class Collector(prometheus_client.registry.Collector):
    """Show a scheduler's counters, of each target, whenever it is scraped: `REGISTRY.register(Collector(scheduler))`.

    `scheduler` is a `Scheduler`, a `duewheel.aio.Scheduler` or a client of `duewheel.connect`. The counters are kept
    by the scheduler in any case: nothing is called for a job. They begin at 0 with each process, as Prometheus has it.
    `lateness_buckets` and `run_buckets` are the bounds of the histograms, in seconds, ascending; those that are there
    unless given have 14 and 15. A registry has one scheduler.

    **Time**: seconds.
    **Concurrency**: a scrape may come from any thread. It asks the store for the first job that is due, so on an event
    loop it waits for the disk; serve it from a thread where that matters.
    **Cost**: O(targets) a scrape. What it shows has as many series as targets: give targets names, not ids.
    **Raises** `ImportError` without `prometheus_client`, which `duewheel[prometheus]` brings; `TypeError` and
    `ValueError` for what is no scheduler and for bounds that are none. A closed scheduler shows its last counters.
    """

    def __init__(
        self,
        scheduler: Scheduler | aio.Scheduler | sharing.Client,
        *,
        lateness_buckets: Iterable[float] = LATENESS_BUCKETS,
        run_buckets: Iterable[float] = RUN_BUCKETS,
    ) -> None:
        """Look at a scheduler; nothing is registered yet."""
        self._scheduler = _checked(scheduler)
        self._lateness_bounds = _bounds("lateness_buckets", lateness_buckets)
        self._run_bounds = _bounds("run_buckets", run_buckets)

    def describe(self) -> Iterable[Metric]:
        """Name the metrics, so that registering asks the scheduler nothing."""
        return [*_Families(self._lateness_bounds, self._run_bounds).targets, *_store_families()]

    def collect(self) -> Iterable[Metric]:
        """Return the metrics as they are now."""
        families = _Families(self._lateness_bounds, self._run_bounds)
        source: Source = answering(self._scheduler)
        for target, stats in sorted(source.targets().items()):
            families.add(target, stats)
        overdue, size, failed = _store_families()
        overdue_s = _overdue_s(source)
        if overdue_s is not None:
            overdue.add_metric([], overdue_s)
        if (bytes_stored := _store_bytes(source)) is not None:
            size.add_metric([], bytes_stored)
        failed.add_metric([], getattr(source, "_failure", None) is not None)
        return [*families.targets, overdue, size, failed]


class _Families:
    """The metrics that each target has, to be filled."""

    def __init__(self, lateness_bounds: Sequence[float], run_bounds: Sequence[float]) -> None:
        self._lateness_bounds, self._run_bounds = lateness_bounds, run_bounds
        self._counters = {
            name: CounterMetricFamily(f"duewheel_jobs_{name}", text, labels=["target"])
            for name, text in _COUNTERS.items()
        }
        self._dead = CounterMetricFamily(
            "duewheel_jobs_dead", "Jobs that ended without success.", labels=["target", "reason"]
        )
        self._jobs = GaugeMetricFamily(
            "duewheel_jobs",
            "Jobs that there are now; those that are parked are pending, too.",
            labels=["target", "state"],
        )
        self._lateness = HistogramMetricFamily(
            "duewheel_lateness_seconds", "How long after their due attempts started.", labels=["target"]
        )
        self._runtime = HistogramMetricFamily(
            "duewheel_run_seconds", "How long handlers ran, from their first line to their end.", labels=["target"]
        )
        self.targets: list[Metric] = [*self._counters.values(), self._dead, self._jobs, self._lateness, self._runtime]

    def add(self, target: str, stats: TargetStats) -> None:
        for name, family in self._counters.items():
            family.add_metric([target], getattr(stats, name))
        failed = stats.dead - stats.discarded - stats.interrupted
        for reason, count in (("failed", failed), ("discarded", stats.discarded), ("interrupted", stats.interrupted)):
            self._dead.add_metric([target, reason], count)
        for state in _STATES:
            self._jobs.add_metric([target, state], getattr(stats, state))
        self._lateness.add_metric([target], *_histogram(stats.lateness, self._lateness_bounds))
        self._runtime.add_metric([target], *_histogram(stats.runtime, self._run_bounds))


def _store_families() -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily]:
    return (
        GaugeMetricFamily("duewheel_overdue_seconds", "How long the first job that is due has waited; 0: none is due."),
        GaugeMetricFamily("duewheel_store_bytes", "Size of the file of jobs and of the files beside it."),
        GaugeMetricFamily("duewheel_store_failed", "1 if the store has failed: nothing runs until it is opened again."),
    )


def _histogram(values: Lateness, bounds: Sequence[float]) -> tuple[list[tuple[str, float]], float]:
    """Return the cumulative buckets, by the text of each bound, and the sum."""
    counts = values.buckets(bounds)
    return [(_le(bound), count) for bound, count in zip(bounds, counts, strict=True)], values.sum


def _le(bound: float) -> str:
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]


def _overdue_s(source: Source) -> float | None:
    """Return how long what is due first has waited, paused repeats aside; `None` where nobody can tell."""
    clock = getattr(source, "_wall_ns", time.time_ns)  # a client has the machine's
    now_ns: int = clock()
    try:
        for event in itertools.islice(source.between(end=now_ns / 1e9), _HELD_BACK):
            repeat = source.get_repeat(event.job_id) if event.occurrence else None
            if repeat is None or not repeat.paused:
                return max(0.0, (now_ns - event.due) / 1e9)
    except (ClosedError, StorageError):
        return None
    return 0.0


def _store_bytes(source: Source) -> int | None:
    """Return the size of a file of jobs, with what is beside it; `None` where there is no file."""
    path = file_of(source)
    if path is None:
        return None
    size = 0
    for suffix in _SIDE_FILES:
        try:
            size += Path(path + suffix).stat().st_size
        except FileNotFoundError:
            continue
    return size


def _checked(scheduler: object) -> object:
    source = answering(scheduler)
    if isinstance(source, type) or not (hasattr(source, "targets") and hasattr(source, "between")):
        raise TypeError(f"scheduler must be a Scheduler, an aio.Scheduler or a client of one, not {scheduler!r}")
    return scheduler


def _bounds(name: str, given: Iterable[float]) -> tuple[float, ...]:
    bounds = tuple(float(bound) for bound in given)
    if any(math.isnan(bound) or bound < 0 for bound in bounds) or list(bounds) != sorted(set(bounds)):
        raise ValueError(f"{name} must be seconds of 0 or more, ascending, not {bounds}")
    return bounds if bounds and bounds[-1] == math.inf else (*bounds, math.inf)
