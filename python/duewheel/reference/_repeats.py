"""What a repeat is, and rule 3: which of its times runs. All times are nanoseconds on the clock of the repeat."""

from dataclasses import dataclass
from typing import Any

from duewheel._core import JobOptions
from duewheel._times import LAST_NS
from duewheel.reference._schedules import Every, Schedule

MOST_MISSED = 1_000
"""How many times of one take-up are counted as missed at most."""

CATCH_UPS = ("one", "all", "none")


@dataclass(frozen=True)
class Terms:
    """All that a call of ``repeat`` says; two that are equal are one."""

    schedule: Schedule
    target: str
    data: bytes
    options: JobOptions
    start: int | None
    end: int | None
    count: int | None
    spread: int
    catch_up: str
    window: int | None
    pause_on_dead: bool
    declared: bool
    headers: dict[str, str]
    key: str | None

    @property
    def interval(self) -> Every | None:
        """An ``Every`` without an anchor that stands for itself: it is on the boot clock."""
        schedule = self.schedule
        return schedule if isinstance(schedule, Every) and schedule.anchor is None else None

    @property
    def period_from_end(self) -> int | None:
        """The time from the end of an occurrence to the next one, if that is how they come."""
        return self.interval.period if self.interval is not None and self.interval.from_end else None

    def admit(self, time: int) -> bool:
        """Tell whether a time of the wall clock is within ``start <= t < end``."""
        return (self.start is None or self.start <= time) and (self.end is None or time < self.end)

    def is_endless(self) -> bool:
        """Tell whether nothing but being cancelled ends it for certain."""
        return self.count is None and self.end is None and not self.schedule.ends()


@dataclass(frozen=True)
class Grid:
    """The times of a repeat: those of its schedule from an anchor on, within its bounds.

    ``ahead``: how far the wall clock is ahead of the clock of the repeat, on which these times are.
    """

    terms: Terms
    anchor: int
    ahead: int

    def next(self, after: int) -> int | None:
        """Return the first time after one; from the end of an occurrence: after that end."""
        start = after if self.terms.start is None else self.terms.start - self.ahead
        period = self.terms.period_from_end
        if period is not None:
            return self.within(max(after + period, start))  # the period does not count from the start
        after = max(after, start - 1)
        if self.terms.interval is not None:
            after = max(after, self.anchor)  # the first time is a period after it was scheduled
        return self.within(self.terms.schedule.anchored(self.anchor).next(after))

    def within(self, time: int | None) -> int | None:
        """Return a time unless it is not before the end."""
        if time is None or time + max(self.ahead, 0) > LAST_NS:
            return None
        return time if self.terms.end is None or time + self.ahead < self.terms.end else None

    def last(self, after: int, until: int) -> int | None:
        """Return the last time ``t`` with ``after < t <= until``."""
        if self.terms.period_from_end is not None:
            return None  # the next one is not known before this one has ended
        if self.terms.end is not None:
            until = min(until, self.terms.end - self.ahead - 1)
        # No look at `start`: what comes after a time of this repeat is within it.
        return self.terms.schedule.anchored(self.anchor).last(after, until) if until > after else None

    def count(self, begin: int, end: int) -> int:
        """Count the times from ``begin``, which is one, to before ``end``; exact to 1,000."""
        count, time = 0, begin
        while time < end and count < MOST_MISSED:
            count += 1
            following = self.next(time)
            if following is None:
                break
            time = following
        return count


@dataclass(slots=True)
class Repeat:
    """How far a repeat has come. It has exactly one occurrence, which is pending or runs."""

    terms: Terms
    on_boot: bool  # the clock of its times
    anchor: int  # where the grid of an interval begins
    offset: int  # of its dues from its times: what `spread` has drawn
    time: int  # of the schedule: what comes, or runs
    last: int  # up to here the schedule is used: what has run, or was before it was scheduled
    number: int = 1  # of the occurrence that comes, or runs
    previous: int | None = None  # job.due of the last one that succeeded
    missed: int = 0
    paused: bool = False
    triggered: int | None = None  # wall ns: what comes, or runs, is one more, asked for then; `time` comes after it
    wanted: int | None = None  # wall ns: one more was asked for while this one runs or is retried
    since: int | None = None  # boot ns: when the occurrence before ended
    ends: bool = False  # cancelled while it ran
    edit: "Repeat | None" = None  # what it becomes at the end of what runs

    @property
    def is_held(self) -> bool:
        """Whether it does not start although it is due."""
        return self.paused and self.triggered is None

    def count_from(self, moment: int, following: int) -> None:
        """Have the schedule count from a moment on, whose first time is ``following``.

        An occurrence that has started keeps what is its own; one that was asked for leaves ``following`` to come.
        """
        self.last = moment
        self.time = moment if self.triggered is None else following

    def has_come_as(self, other: "Repeat") -> None:
        """Be as far as another is, but for its times."""
        self.number, self.previous, self.missed, self.paused = other.number, other.previous, other.missed, other.paused
        self.triggered, self.wanted, self.since = other.triggered, other.wanted, other.since

    def coming(self) -> "Repeat":
        """Return what it is after the occurrence that runs: what was said meanwhile."""
        if self.edit is None:
            return self
        self.edit.has_come_as(self)
        return self.edit

    def grid(self, offset_of_clocks: int) -> Grid:
        """Return its times; given how far the wall clock is ahead of the boot clock."""
        return Grid(self.terms, self.anchor, offset_of_clocks if self.on_boot else 0)


@dataclass(frozen=True)
class Taken:
    """What becomes of an occurrence: the time that runs now (``runs``) or comes; ``None``: no time is left."""

    time: int | None
    runs: bool
    missed: int


def take_up(repeat: Repeat, grid: Grid, due: int, now: int, is_missed: bool) -> Taken:
    """Say what becomes of the first attempt of an occurrence that is taken up: rule 3 of the contract.

    ``is_missed``: its due came while it could not start. With a spread, all of this looks at dues: a time has come by
    now when its due has.
    """
    terms, time = repeat.terms, repeat.time
    by_now = now - repeat.offset

    def runs(it: int) -> Taken:
        return Taken(it, True, grid.count(time, it))

    def pass_over(after: int) -> Taken:
        following = grid.next(max(after, time))
        missed = grid.count(time, by_now + 1 if following is None else following)
        # With "all" it is one within the window, which is due.
        return Taken(following, following is not None and following <= by_now, missed)

    # 1. "all": t runs; 4. unless it is later than the window: then the first within it.
    if terms.catch_up == "all":
        assert terms.window is not None
        return pass_over(by_now - terms.window - 1) if now - due > terms.window else runs(time)
    # 2. "none" and missed: passed over, to the first time after now.
    if terms.catch_up == "none" and is_missed:
        return pass_over(by_now)
    # 3. Else t becomes the last time by now; 4. unless that is later than the window.
    last = grid.last(time, by_now)
    if last is not None:
        due = last + repeat.offset
    if terms.window is not None and now - due > terms.window:
        return pass_over(by_now)
    return runs(time if last is None else last)


def upcoming(repeat: Repeat, due: int, offset_of_clocks: int, n: int) -> list[int]:
    """List the next dues on the wall clock, the first of which is ``due``; fewer where it ends."""
    grid, ahead = repeat.grid(offset_of_clocks), offset_of_clocks if repeat.on_boot else 0
    dues = [due]
    if repeat.triggered is not None and repeat.time != LAST_NS:
        dues.append(repeat.time + repeat.offset + ahead)
    time: Any = grid.next(max(repeat.time, repeat.last))
    while time is not None and len(dues) < n:
        dues.append(time + repeat.offset + ahead)
        time = grid.next(time)
    left = n if repeat.terms.count is None else repeat.terms.count + 1 - repeat.number
    return dues[: max(0, min(n, left))]
