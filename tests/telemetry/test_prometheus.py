"""What is scraped, read back by Prometheus' own parser, beside the scheduler's numbers."""

import asyncio
import sys
import threading

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

import duewheel
from duewheel import Discard, Scheduler, Snooze, StorageError, aio
from duewheel.prometheus import Collector
from duewheel.testing import ManualClock

FAMILIES = {
    "duewheel_jobs_scheduled": "counter",
    "duewheel_jobs_started": "counter",
    "duewheel_jobs_succeeded": "counter",
    "duewheel_jobs_retried": "counter",
    "duewheel_jobs_snoozed": "counter",
    "duewheel_jobs_cancelled": "counter",
    "duewheel_jobs_missed": "counter",
    "duewheel_jobs_dead": "counter",
    "duewheel_jobs": "gauge",
    "duewheel_lateness_seconds": "histogram",
    "duewheel_run_seconds": "histogram",
    "duewheel_overdue_seconds": "gauge",
    "duewheel_store_bytes": "gauge",
    "duewheel_store_failed": "gauge",
}


class Scraped:
    """A scrape of one scheduler."""

    def __init__(self, scheduler, **keywords):
        registry = CollectorRegistry()
        registry.register(Collector(scheduler, **keywords))
        self.text = generate_latest(registry).decode()
        self.families = {family.name: family for family in text_string_to_metric_families(self.text)}
        list(openmetrics_families(generate_openmetrics(registry).decode()))  # it is strict

    def samples(self, name, **labels):
        return [
            sample for family in self.families.values() for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]  # fmt: skip

    def value(self, name, **labels):
        (sample,) = self.samples(name, **labels)
        return sample.value


@pytest.fixture
def clock():
    return ManualClock(1_800_000_000)


def steer(event):
    {b"": lambda: None, b"fail": lambda: 1 / 0, b"snooze": snooze, b"discard": discard}[event.data]()


def snooze():
    raise Snooze(3600)


def discard():
    raise Discard("no use")


@pytest.fixture(params=["memory", "file"])
def busy(request, clock, path, quiet):
    """A scheduler that has done all there is to do."""
    scheduler = Scheduler(path if request.param == "file" else None, clock=clock)
    for target in ("mail", 'odd "name"\\\n'):
        scheduler.handle(target, steer)
        for data in (b"", b"fail", b"snooze", b"discard", b"discard"):
            scheduler.in_(0, target, data, retry_limit=1, min_backoff=1, max_backoff=1)
        scheduler.cancel(scheduler.in_(5, target))
    scheduler.in_(0, "nobody")
    scheduler.start()
    clock.advance(1)
    yield scheduler
    scheduler.close()


def test_each_target_has_its_counters(busy):
    scraped = Scraped(busy)
    for target in ("mail", 'odd "name"\\\n'):
        counts = {name: scraped.value(f"duewheel_jobs_{name}_total", target=target) for name in (
            "scheduled", "started", "succeeded", "retried", "snoozed", "cancelled", "missed",
        )}  # fmt: skip
        assert counts == {
            "scheduled": 6, "started": 6, "succeeded": 1, "retried": 1, "snoozed": 1, "cancelled": 1, "missed": 0,
        }  # fmt: skip
        reasons = {s.labels["reason"]: s.value for s in scraped.samples("duewheel_jobs_dead_total", target=target)}
        assert reasons == {"failed": 1, "discarded": 2, "interrupted": 0}
        states = {s.labels["state"]: s.value for s in scraped.samples("duewheel_jobs", target=target)}
        assert states == {"pending": 1, "parked": 0, "running": 0}
    assert scraped.value("duewheel_jobs", target="nobody", state="parked") == 1


def test_sums_are_the_schedulers(busy):
    scraped, stats = Scraped(busy), busy.stats()
    for name in ("scheduled", "started", "succeeded", "retried", "snoozed", "cancelled", "missed", "dead"):
        assert sum(s.value for s in scraped.samples(f"duewheel_jobs_{name}_total")) == getattr(stats, name), name
    for name in ("pending", "parked", "running"):
        assert sum(s.value for s in scraped.samples("duewheel_jobs", state=name)) == getattr(stats, name), name
    assert sum(s.value for s in scraped.samples("duewheel_lateness_seconds_count")) == stats.lateness.count
    assert sum(s.value for s in scraped.samples("duewheel_run_seconds_count")) == stats.started


def test_the_families_and_their_kinds(busy):
    scraped = Scraped(busy)
    assert {family.name: family.type for family in scraped.families.values()} == FAMILIES
    assert all(family.documentation for family in scraped.families.values())
    assert {family.name for family in Collector(busy).describe()} == set(FAMILIES)


def test_histograms_are_cumulative_and_sum_up(clock):
    with Scheduler(clock=clock) as scheduler:
        for delay in (0, 1, 2, 3):
            scheduler.in_(delay, "t")
        clock.advance(3)  # nobody handles it yet: 3, 2, 1 and 0 seconds late
        scheduler.handle("t", lambda event: None)
        clock.advance(0)
        scraped = Scraped(scheduler, lateness_buckets=[0.5, 1.5, 2.5, 10])
        buckets = {s.labels["le"]: s.value for s in scraped.samples("duewheel_lateness_seconds_bucket", target="t")}
        assert buckets == {"0.5": 1, "1.5": 2, "2.5": 3, "10.0": 4, "+Inf": 4}
        assert scraped.value("duewheel_lateness_seconds_count", target="t") == 4
        assert scraped.value("duewheel_lateness_seconds_sum", target="t") == pytest.approx(6)
        assert scraped.value("duewheel_run_seconds_count", target="t") == 4


def test_what_is_overdue(clock):
    with Scheduler(clock=clock) as scheduler:
        assert Scraped(scheduler).value("duewheel_overdue_seconds") == 0
        scheduler.handle("t", lambda event: None)
        scheduler.repeat(10, "t", id="paused")
        scheduler.pause("paused")
        scheduler.in_(1_000, "t")
        clock.advance(100)
        assert Scraped(scheduler).value("duewheel_overdue_seconds") == 0, "a repeat that is paused is not overdue"
        scheduler.in_(0, "nobody")
        clock.advance(30)
        assert Scraped(scheduler).value("duewheel_overdue_seconds") == 30
        scheduler.close()


def test_the_size_of_the_store(clock, path):
    with Scheduler(clock=clock) as scheduler:
        assert Scraped(scheduler).samples("duewheel_store_bytes") == []
    with Scheduler(path, clock=clock) as scheduler:
        before = Scraped(scheduler).value("duewheel_store_bytes")
        scheduler.in_(1_000, "t", b"x" * 500_000)
        assert Scraped(scheduler).value("duewheel_store_bytes") >= before + 500_000
        assert Scraped(scheduler).value("duewheel_store_failed") == 0


def test_a_store_that_cannot_be_asked_leaves_the_rest(clock):
    class Broken(Scheduler):
        def between(self, *bounds, **keywords):
            raise StorageError("the disk is away")

    with Broken(clock=clock) as scheduler:
        scheduler.handle("t", lambda event: None)
        scheduler.in_(0, "t")
        clock.advance(0)
        scraped = Scraped(scheduler)
    assert scraped.value("duewheel_jobs_succeeded_total", target="t") == 1
    assert scraped.samples("duewheel_overdue_seconds") == []


def test_a_closed_scheduler_still_shows_its_counters(clock):
    with Scheduler(clock=clock) as scheduler:
        scheduler.handle("t", lambda event: None)
        scheduler.in_(0, "t")
        clock.advance(0)
    scraped = Scraped(scheduler)
    assert scraped.value("duewheel_jobs_succeeded_total", target="t") == 1
    assert scraped.samples("duewheel_overdue_seconds") == []


def test_an_awaited_scheduler_while_it_runs(path):
    async def main():
        async with aio.Scheduler(path) as scheduler:

            @scheduler.handler("t")
            async def t(event):
                await asyncio.sleep(0)

            await scheduler.in_many([0] * 100, "t")
            await scheduler.wait(30)
            return await asyncio.to_thread(Scraped, scheduler)

    assert asyncio.run(main()).value("duewheel_jobs_succeeded_total", target="t") == 100


def test_scrapes_beside_each_other_and_beside_jobs():
    failed = []

    def scrape(scheduler):
        try:
            for _ in range(20):
                Scraped(scheduler)
        except BaseException as error:
            failed.append(error)

    with Scheduler() as scheduler:
        scheduler.handle("t", lambda event: None)
        threads = [threading.Thread(target=scrape, args=(scheduler,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(50):
            scheduler.in_many([0] * 100, "t")
        for thread in threads:
            thread.join()
        assert scheduler.wait(30)
        assert Scraped(scheduler).value("duewheel_jobs_succeeded_total", target="t") == 5_000
    assert failed == []


def test_registering_asks_the_scheduler_nothing(clock):
    scheduler = Scheduler(clock=clock)
    collector = Collector(scheduler)
    collector._source = None
    CollectorRegistry().register(collector)
    scheduler.close()


@pytest.mark.parametrize("given", [None, 5, "scheduler", Scheduler, object()])
def test_what_is_no_scheduler_is_refused(given):
    with pytest.raises(TypeError, match="scheduler must be a Scheduler"):
        Collector(given)


@pytest.mark.parametrize("given", [[2, 1], [1, 1], [-1], [float("nan")]])
@pytest.mark.parametrize("name", ["lateness_buckets", "run_buckets"])
def test_bounds_that_are_none_are_refused(given, name):
    scheduler = Scheduler()
    with pytest.raises(ValueError, match=f"{name} must be seconds of 0 or more, ascending"):
        Collector(scheduler, **{name: given})
    scheduler.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no file is shared there")
def test_a_client_shows_the_counters_of_the_owner(path):
    with Scheduler(path, share=True) as owner:
        owner.handle("t", steer)
        owner.in_(0, "t", b"discard")
        owner.in_many([0, 0], "t")
        assert owner.wait(30)
        with duewheel.connect(path) as client:
            scraped = [Scraped(owner), Scraped(client)]
            size = sum(file.stat().st_size for file in path.parent.glob("jobs.db*") if file.is_file())
    for one in scraped:
        assert one.value("duewheel_jobs_succeeded_total", target="t") == 2
        assert one.value("duewheel_jobs_dead_total", target="t", reason="discarded") == 1
        assert one.value("duewheel_overdue_seconds") == 0
        assert 0 < one.value("duewheel_store_bytes") <= size


@pytest.mark.skipif(sys.platform == "win32", reason="no file is shared there")
def test_an_awaited_client_and_owner(path):
    async def main():
        async with aio.Scheduler(path, share=True) as owner:
            owner.handle("t", lambda event: None)
            await owner.in_(0, "t")
            await owner.wait(30)
            async with aio.connect(path) as client:
                return [await asyncio.to_thread(Scraped, one) for one in (owner, client)]

    for scraped in asyncio.run(main()):
        assert scraped.value("duewheel_jobs_succeeded_total", target="t") == 1
