"""Where a page of jobs goes on: after a time, and so many that have the same."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from duewheel.dashboard._format import moment

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from typing import Self


class Cursor(NamedTuple):
    """After `passed` of those whose time is `when_ns`: bounds of calls are no finer than microseconds."""

    when_ns: int
    passed: int

    @classmethod
    def read(cls, text: str | None) -> Self | None:
        """Read what `str` has written; anything else is the beginning."""
        when, _, passed = (text or "").partition("~")
        try:
            cursor = cls(int(when), int(passed))
        except ValueError:
            return None
        return cursor if abs(cursor.when_ns) < 2**63 and 0 < cursor.passed < 2**31 else None

    @property
    def start(self) -> datetime:
        """The bound of a call that goes upwards from it."""
        return moment(self.when_ns)

    @property
    def before(self) -> datetime:
        """The bound of a call that goes downwards from it."""
        return moment(self.when_ns) + timedelta(microseconds=1)

    def __str__(self) -> str:
        return f"{self.when_ns}~{self.passed}"


class Pager:
    """Tell, item by item in their order, which are of a page; and where the next page begins."""

    def __init__(
        self,
        cursor: Cursor | None,
        time_of: Callable[[Any], int],
        matches: Callable[[Any], bool],
        *,
        upwards: bool,
    ) -> None:
        self._from, self._time_of, self._matches, self._upwards = cursor, time_of, matches, upwards
        self._skip = cursor.passed if cursor else 0
        self._now = cursor

    def __call__(self, item: Any) -> bool:
        """Whether this item is of the page."""
        time, begin = self._time_of(item), self._from
        if begin is not None:
            if time == begin.when_ns and self._skip:
                self._skip -= 1
                return False
            if (time < begin.when_ns) if self._upwards else (time > begin.when_ns):
                return False
        passed = self._now.passed + 1 if self._now and self._now.when_ns == time else 1
        self._now = Cursor(time, passed)
        return self._matches(item)

    @property
    def next(self) -> Cursor | None:
        """The place after the last item."""
        return self._now
