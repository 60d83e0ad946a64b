"""A file of jobs that is opened again and again, on one clock: what tests of files share."""

from duewheel import Keyring, LocalStorage, Scheduler
from duewheel.testing import ManualClock

START = 1_000
SECOND = 10**9
FAR = 3_600
KEY = {number: bytes([number]) * 32 for number in range(1, 4)}


def counts(stats, *names):
    return tuple(getattr(stats, name) for name in names)


def balance(stats):
    ended = counts(stats, "pending", "running", "succeeded", "dead", "cancelled", "dropped")
    return stats.scheduled + stats.revived - sum(ended)


class JobsFile:
    """One file and one clock, opened again and again, and what ran."""

    def __init__(self, path, **storage):
        self.path = path
        self.storage = {"durability": "relaxed"} | storage
        self.clock = ManualClock(START)
        self.opened = []
        self.ran = []
        self.act = lambda event: None

    def open(self, *, handles="t", start=True, clock=None, workers=1, **storage):
        kept_in = LocalStorage(self.path, **(self.storage | storage))
        scheduler = Scheduler(kept_in, clock=clock or self.clock, seed=7, workers=workers)
        self.opened.append(scheduler)
        for target in handles:
            scheduler.handle(target, self.run)
        if start:
            scheduler.start()
        return scheduler

    def again(self, **keywords):
        self.opened[-1].close()
        return self.open(**keywords)

    def run(self, event):
        self.ran.append(event)
        self.act(event)

    def data(self):
        return [event.data for event in self.ran]

    def close(self):
        for scheduler in self.opened:
            scheduler.close()
            assert scheduler.drain(10)
            assert balance(scheduler.stats()) == 0


def fail(event):
    raise RuntimeError("no luck")


def keyring(*numbers, default):
    return Keyring({number: KEY[number] for number in numbers}, default=default)
