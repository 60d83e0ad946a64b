"""`NopScheduler` has every name of a scheduler, does nothing, and takes everything."""

import inspect
import math
import signal
import threading
import time

import pytest

from duewheel import Event, Job, JobOptions, NopScheduler, Scheduler, Stats, current_scheduler, use

PLUMBING = {
    "__class__", "__doc__", "__module__", "__new__", "__weakref__", "__dict__", "__firstlineno__",
    "__static_attributes__", "__init__", "__annotations__", "__annotate__", "__annotate_func__",
    "__annotations_cache__",
}  # fmt: skip
"""What every class has of its own."""


def surface(kind):
    """What a class offers: the public names, and the magic methods that are its own."""
    names = set()
    for base in kind.__mro__[:-1]:
        names |= {n for n in vars(base) if not n.startswith("_") or (n.startswith("__") and n not in PLUMBING)}
    return names


def parameters(method):
    """All but self, which is positional only in an extension."""
    return [(p.name, p.kind, p.default is p.empty) for p in inspect.signature(method).parameters.values()][1:]


@pytest.mark.parametrize("name", sorted(surface(Scheduler)))
def test_every_method_is_its_own(name):
    assert name in vars(NopScheduler), "inherited: it would reach the engine"


def test_its_names_are_those_of_a_scheduler():
    assert surface(NopScheduler) == surface(Scheduler)


@pytest.mark.parametrize("name", sorted(n for n in surface(Scheduler) if not n.startswith("_")))
def test_its_methods_have_the_same_parameters(name):
    real, nop = (inspect.getattr_static(kind, name) for kind in (Scheduler, NopScheduler))
    assert isinstance(real, property) == isinstance(nop, property)
    if not isinstance(real, property):
        assert parameters(nop) == parameters(real)


def test_is_a_scheduler():
    assert isinstance(NopScheduler(), Scheduler)
    assert repr(NopScheduler()) == "<duewheel.NopScheduler>"


@pytest.mark.parametrize("number", [3, math.nan, None, "no time"])
def test_discards_every_job_and_checks_nothing(number):
    nop = NopScheduler()
    assert nop.at(number, "x", b"", id="a", retry_limit=-1, nonsense=1) == ""
    assert nop.in_(number, "", None, options=7) == ""
    assert list(nop.at_many([number] * 3, "x", None)) == ["", "", ""]
    assert list(nop.in_many((number,), "x", [b""], min_backoff=-1)) == [""]
    assert len(nop) == 0
    assert bool(nop)
    assert "a" not in nop
    assert (nop.get("a"), nop.next(), nop.next(number, end=number)) == (None, None, None)
    assert (nop.cancel("a"), nop.reschedule("a", number), nop.revive("a")) == (False, False, False)
    assert nop.cancel_many(["a", number]) == 0
    assert (list(nop.between(number)), list(nop.dead()), nop.purge(number, ids=["a"])) == ([], [], 0)
    assert (nop.backup(number), nop.rotate()) == (None, None)


def test_forgets_handlers():
    nop = NopScheduler()
    for _ in range(2):
        deregister = nop.handle("x", print)
        deregister()
        deregister()

    @nop.handler("x")
    def handler(event):
        raise AssertionError

    assert inspect.isfunction(handler)


def test_storage_stays_empty():
    store = NopScheduler().storage
    store.create(Event(Job("a", "x", 0, b"", JobOptions())))
    assert (store.load("a"), store.delete("a"), store.next(), list(store.between())) == (
        None,
        False,
        None,
        [],
    )


def test_stats_are_zero():
    nop = NopScheduler()
    nop.in_(0, "x")
    stats = nop.stats()
    assert isinstance(stats, Stats)
    assert stats == Scheduler().stats()
    assert (stats.pending, stats.scheduled, stats.lateness.count) == (0, 0, 0)


def test_it_starts_drains_and_closes_again_and_again():
    nop = NopScheduler()
    for _ in range(2):
        nop.start()
        assert nop.wait() is nop.wait(0) is True
        assert nop.drain() is nop.drain(-1) is True
        nop.close()
    with nop as same:
        assert same is nop
    with pytest.raises(KeyError), nop:
        raise KeyError


def test_is_current_under_use():
    with use(NopScheduler()) as nop:
        assert current_scheduler() is nop


@pytest.mark.parametrize("stop", ["drain", "close"])
def test_run_keeps_the_thread_until_stopped(stop):
    nop = NopScheduler()
    thread = threading.Thread(target=nop.run)
    thread.start()
    time.sleep(0.2)
    assert thread.is_alive()
    getattr(nop, stop)()
    thread.join(10)
    assert not thread.is_alive()


def test_run_returns_after_ctrl_c():
    timer = threading.Timer(0.2, signal.raise_signal, [signal.SIGINT])
    timer.start()
    NopScheduler().run()
    timer.join()


def test_starts_no_thread():
    before = threading.active_count()
    with NopScheduler() as nop:
        nop.in_(0, "x")
        assert threading.active_count() == before


def test_run_returns_at_once_after_close():
    scheduler = NopScheduler()
    scheduler.close()
    scheduler.run()
