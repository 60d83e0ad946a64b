"""What notebooks show: tables whose texts are escaped, of anything in any state."""

import asyncio
from html.parser import HTMLParser

import pytest

from duewheel import Every, NopScheduler, Scheduler, aio
from duewheel.testing import ManualClock


class Cells(HTMLParser):
    """Reads the cells of tables, and holds that every element is closed."""

    def __init__(self, html):
        super().__init__()
        self.open, self.cells = [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data


def cells(shown):
    return Cells(shown._repr_html_()).cells


def test_the_numbers_of_a_scheduler():
    clock = ManualClock()
    with Scheduler(clock=clock) as scheduler:
        scheduler.handle("t", lambda event: None)
        scheduler.in_(0, "t")
        scheduler.in_(5, "t")
        clock.advance(0)
        shown = cells(scheduler.stats())
        counted = len(scheduler.stats().asdict()) - 1  # lateness has a table of its own
        numbers = dict(zip(shown[:counted], shown[counted : 2 * counted], strict=True))
        assert (numbers["pending"], numbers["succeeded"], numbers["scheduled"]) == ("1", "1", "2")
        html = scheduler._repr_html_()
        assert "&lt;duewheel.Scheduler started, 1 pending&gt;" in html
        assert cells(scheduler) == shown
        scheduler.close()
        assert "&lt;duewheel.Scheduler closed&gt;" in scheduler._repr_html_()


def test_an_awaited_one_and_one_that_does_nothing():
    async def main():
        async with aio.Scheduler() as scheduler:
            assert "&lt;duewheel.aio.Scheduler started, 0 pending&gt;" in scheduler._repr_html_()

    asyncio.run(main())
    assert "NopScheduler" in NopScheduler()._repr_html_() and len(cells(NopScheduler())) > 20


def test_lateness_has_units():
    clock = ManualClock()
    with Scheduler(clock=clock) as scheduler:
        scheduler.in_(0, "t")
        clock.advance(2)
        scheduler.handle("t", lambda event: None)
        clock.advance(0)
        assert "2 s" in cells(scheduler.stats())


@pytest.mark.parametrize(("count", "said"), [(None, "1"), (3, "1 of 3")])
def test_a_repeat(count, said):
    clock = ManualClock(1_800_000_000)
    with Scheduler(clock=clock) as scheduler:
        scheduler.repeat(Every(60, anchor=0), "<b>", id="a&b", count=count)
        shown = cells(scheduler.get_repeat("a&b"))
        table = dict(zip(shown[::2], shown[1::2], strict=True))
        assert (table["id"], table["target"], table["occurrence"]) == ("a&b", "<b>", said)
        assert table["next"].split(", ")[:2] == ["2027-01-15 08:01:00 UTC", "2027-01-15 08:02:00 UTC"]
        assert table["state"] == "waiting"
        scheduler.pause("a&b")
        assert "paused" in cells(scheduler.get_repeat("a&b"))
        scheduler.close()
