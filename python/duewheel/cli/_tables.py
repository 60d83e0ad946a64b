"""Lay out tables that fit a width: columns shrink, then the least of them go."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_GAP = "  "
"""What stands between two columns."""


class Column(NamedTuple):
    """One column: its title, and what becomes of it where there is not enough room."""

    title: str
    least: int = 0
    """To how many characters it may shrink; 0: not at all, but it is cut when nothing else is left."""
    rank: int = 0
    """Those of the highest rank above 0 go first where shrinking does not do; those of rank 0 stay."""
    right: bool = False
    """Whether it ends at the right, as numbers do."""
    cut: str = "end"
    """Where a text is cut: at its `end`, or in its `middle`, as of ids, whose end tells them apart."""


def plain(text: str) -> str:
    """Return a text without characters that a terminal would obey: they are shown as escapes."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(map(_width_of, text))


def _width_of(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def fitted(text: str, room: int, cut: str = "end", mark: str = "…") -> str:
    """Return a text that takes at most `room` columns; where something is left out the mark stands."""
    if width(text) <= room:
        return text
    left = max(room - width(mark), 0)
    tail = left // 2 if cut == "middle" else 0
    kept = _first(text, left - tail) + mark + _first(text[::-1], tail)[::-1]
    return kept if width(kept) <= room else mark[:room]


def _first(text: str, room: int) -> str:
    taken, used = [], 0
    for char in text:
        used += _width_of(char)
        if used > room:
            break
        taken.append(char)
    return "".join(taken)


def wrapped(text: str, room: int | None) -> list[str]:
    """Return the lines of a text, each of at most `room` columns: cut after words, or anywhere, for it may be data."""
    lines = [plain(line) for line in text.splitlines()] or [""]
    if room is None:
        return lines
    parts = []
    for line in lines:
        rest = line
        while width(rest) > room:
            part = _first(rest, max(room, 2))
            after_word = part.rfind(" ") + 1
            if after_word * 2 > len(part) and not part[:after_word].isspace():
                part = part[:after_word]
            parts.append(part)
            rest = rest[len(part) :]
        parts.append(rest)
    return parts


class Layout:
    """The columns that are shown, with the width of each."""

    def __init__(
        self, columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int | None, mark: str = "…"
    ) -> None:
        self._columns = columns
        self._mark = mark
        wanted = [max([width(column.title), *(width(row[at]) for row in rows)]) for at, column in enumerate(columns)]
        # A column that has nothing to say is left out where it may be.
        shown = [at for at, column in enumerate(columns) if not column.rank or any(row[at] for row in rows)]
        self._widths = _fit(columns, wanted, shown, room)

    def title(self) -> str:
        """Return the line of the titles."""
        return self.line([column.title for column in self._columns])

    def line(self, row: Sequence[str]) -> str:
        """Return the line of a row, without spaces at its end."""
        return _GAP.join(self._cells(row)).rstrip()

    def _cells(self, row: Sequence[str]) -> list[str]:
        cells = []
        for at, room in self._widths.items():
            column = self._columns[at]
            text = fitted(row[at], room, column.cut, self._mark)
            spaces = " " * (room - width(text))
            cells.append(spaces + text if column.right else text + spaces)
        return cells


def _fit(columns: Sequence[Column], wanted: Sequence[int], shown: list[int], room: int | None) -> dict[int, int]:
    """Return the widths of the columns that are shown within so much room."""
    while True:
        widths = {at: wanted[at] for at in shown}
        over = 0 if room is None else sum(widths.values()) + len(_GAP) * (len(shown) - 1) - room
        # The widest that may shrink gives first, down to the next: so that none is cut while another is long.
        while over > 0 and (able := [at for at in shown if 0 < columns[at].least < widths[at]]):
            widest = max(able, key=lambda at: widths[at])
            widths[widest] -= 1
            over -= 1
        if over <= 0:
            return widths
        go = [at for at in shown if columns[at].rank]
        if not go:
            while over > 0 and max(widths.values()) > 1:
                widths[max(widths, key=lambda at: widths[at])] -= 1
                over -= 1
            return widths
        shown = [at for at in shown if at != max(go, key=lambda at: columns[at].rank)]
