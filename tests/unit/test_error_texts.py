"""What is kept of an error is at most 64 KiB: head, tail, and the number of bytes left out; wherever it is kept."""

import re
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duewheel import Discard, Scheduler
from duewheel._failure import LIMIT, bounded
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock

LONG = "head " + "ä" * 2_500_000 + " tail"
STORES = ["memory", "file", "reference"]


def make(store, clock, path):
    if store == "reference":
        return ReferenceScheduler(clock=clock)
    return Scheduler(str(path) if store == "file" else None, clock=clock, workers=1)


def dead_of(scheduler, clock, handler, count=1):
    scheduler.handle("t", handler)
    scheduler.start()
    for _ in range(count):
        scheduler.in_(0, "t", retry_limit=0)
    clock.advance(0)
    dead = list(scheduler.dead())
    assert len(dead) == count
    return dead


def left_out(text):
    assert len(text.encode("utf-8", "surrogatepass")) <= LIMIT
    (count,) = re.findall(r"\n… (\d+) bytes left out …\n", text)
    head, tail = re.split(r"\n… \d+ bytes left out …\n", text)
    return head, int(count), tail


@pytest.fixture(params=STORES)
def bench(request, tmp_path, caplog):
    caplog.set_level("CRITICAL", "duewheel")
    clock = ManualClock(1_000)
    scheduler = make(request.param, clock, tmp_path / "jobs.db")
    yield scheduler, clock
    scheduler.close()


class Grown(Exception):
    """One whose text is long and whose chain is, too."""


def raise_long(event):
    raise ValueError(LONG)


def raise_chained(event):
    try:
        raise Grown(LONG)
    except Grown as error:
        error.add_note(LONG)
        raise ValueError("the end of the tale") from error


def raise_group(event):
    raise ExceptionGroup(LONG, [ValueError(LONG), KeyError(LONG)])


def raise_discard(event):
    raise Discard(LONG)


def raise_long_name(event):
    raise type("E" * 200_000, (Exception,), {})("the end of the tale")


@pytest.mark.parametrize(
    ("handler", "ends"),
    [
        (raise_long, "ä tail\n"),
        (raise_chained, "ValueError: the end of the tale\n"),
        (raise_group, "+------------------------------------\n"),
        (raise_discard, "ä tail"),
        (raise_long_name, "EEE: the end of the tale\n"),
    ],
)
def test_of_a_long_text_head_and_tail_are_kept(bench, handler, ends):
    dead = dead_of(*bench, handler)
    head, count, tail = left_out(dead[0].error)
    assert tail.endswith(ends)
    assert count > 100_000
    assert min(len(part.encode()) for part in (head, tail)) > LIMIT // 2 - 100
    if handler is raise_discard:
        assert head.startswith("head ää")
        assert len(head.encode()) + count + len(tail.encode()) == len(LONG.encode())
    elif handler is raise_long:
        assert head.startswith("Traceback (most recent call last):\n")
        assert "in raise_long\n" in head


def test_a_short_text_is_as_traceback_makes_it(bench):
    made = []

    def fail(event):
        try:
            raise ValueError("x" * 9_000)
        except ValueError as error:
            made.append("".join(traceback.format_exception(error)))
            raise

    (dead,) = dead_of(*bench, fail)
    assert dead.error.splitlines()[-1] == made[0].splitlines()[-1]


def test_of_a_long_text_of_an_async_handler_head_and_tail_are_kept(tmp_path, caplog):
    caplog.set_level("CRITICAL", "duewheel")

    async def fail(event):
        raise ValueError(LONG)

    for storage in (None, str(tmp_path / "jobs.db")):
        with Scheduler(storage) as scheduler:
            scheduler.handle("t", fail)
            scheduler.in_(0, "t", retry_limit=0)
            assert scheduler.wait(30)
            (dead,) = scheduler.dead()
            assert left_out(dead.error)[2].endswith("ä tail\n")


def test_many_long_texts_take_little_memory(caplog):
    caplog.set_level("CRITICAL", "duewheel")
    clock = ManualClock(1_000)
    with Scheduler(clock=clock, workers=1) as scheduler:
        dead = dead_of(scheduler, clock, raise_long, count=20)
        assert sum(len(one.error.encode()) for one in dead) <= 20 * LIMIT


def test_a_text_that_grows_where_surrogates_are_replaced_fits_a_row(tmp_path, caplog):
    caplog.set_level("CRITICAL", "duewheel")
    clock = ManualClock(1_000)

    def fail(event):
        raise ValueError("\ud800" * 16_000)

    with Scheduler(str(tmp_path / "jobs.db"), clock=clock, workers=1) as scheduler:
        (dead,) = dead_of(scheduler, clock, fail)
        assert "�" in left_out(dead.error)[0]


@given(st.text(max_size=60), st.integers(0, LIMIT), st.sampled_from(["a", "ä", "€", "🜂", "\ud800"]))
def test_no_character_is_cut_and_every_byte_is_counted(text, more, character):
    text = text + character * more + text
    cut = bounded(text)
    size = len(text.encode("utf-8", "surrogatepass"))
    if size <= LIMIT:
        assert cut == text
        return
    head, count, tail = left_out(cut)
    assert text.startswith(head)
    assert text.endswith(tail)
    parts = [len(part.encode("utf-8", "surrogatepass")) for part in (head, tail)]
    assert sum(parts) + count == size
    assert LIMIT - 50 <= len(cut.encode("utf-8", "surrogatepass")) <= LIMIT
