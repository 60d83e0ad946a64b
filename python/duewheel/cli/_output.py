"""Write what a command says: tables and lines for people, one object of JSON a line for programs."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TextIO

from duewheel.cli._tables import Layout, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from duewheel.cli._tables import Column

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_MEASURED = 200
"""How many rows of a table are looked at for the widths of its columns; it may be long."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Output:
    """Where a command writes: results to one stream, notes and errors to the other."""

    def __init__(self, results: TextIO, notes: TextIO, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self._results = results
        self._notes = notes
        self.is_terminal = results.isatty()
        self.width = _width(self.is_terminal)
        self.mark = "…" if _can(results, "…") else "..."

    def text(self, line: str = "") -> None:
        """Write a line for people."""
        self._results.write(_encodable(self._results, line) + "\n")

    def record(self, **fields: Any) -> None:
        """Write one object of JSON as a line, its keys in the order given."""
        self._results.write(json.dumps(fields) + "\n")

    def say(self, line: str, **fields: Any) -> None:
        """Write the one line that a command has to say: for people, or as JSON."""
        if self.as_json:
            self.record(**fields)
        else:
            self.text(line)

    def note(self, line: str) -> None:
        """Write a line beside the results."""
        self._notes.write(_encodable(self._notes, plain(line)) + "\n")

    def overwrite(self, line: str) -> None:
        """Write a line over the one before, on a terminal."""
        self._results.write(f"\r\x1b[K{line}")
        self._results.flush()

    def clear(self) -> None:
        """Begin a terminal's screen anew."""
        if self.is_terminal:
            self._results.write("\x1b[H\x1b[2J\x1b[3J")

    def flush(self) -> None:
        """Hand over all that was written."""
        self._results.flush()

    def error(self, message: str) -> None:
        """Write why the command cannot do what it was asked."""
        for at, line in enumerate(message.splitlines() or [""]):
            self.note(("duewheel: " if at == 0 else "  ") + line)

    def table(
        self, columns: Sequence[Column], rows: Iterable[tuple[Sequence[str], str]], limit: int | None = None
    ) -> int:
        """Write rows, each with a style, as a table; return how many. Of more than `limit` a note tells."""
        layout: Layout | None = None
        waiting: list[tuple[Sequence[str], str]] = []
        count = 0
        for row in rows:
            if limit is not None and count == limit:
                self._flush_table(columns, layout, waiting)
                self.note(f"there are more than these {limit}: --limit 0 shows all")
                return count
            count += 1
            waiting.append(row)
            if layout is not None or len(waiting) == _MEASURED:
                layout = self._flush_table(columns, layout, waiting)
                waiting = []
        if waiting:
            self._flush_table(columns, layout, waiting)
        return count

    def _flush_table(
        self, columns: Sequence[Column], layout: Layout | None, rows: Sequence[tuple[Sequence[str], str]]
    ) -> Layout | None:
        cells = [([plain(cell) for cell in row], style) for row, style in rows]
        if layout is None and cells:
            layout = Layout(columns, [row for row, _ in cells], self.width, self.mark)
            self.text(self.painted(layout.title(), "bold"))
        for row, style in cells:
            if layout is not None:
                self.text(self.painted(layout.line(row), style))
        return layout

    def painted(self, text: str, style: str) -> str:
        """Return a text in a colour or a weight, where the output is a terminal that is to have them."""
        if not style or not text or not self.has_colour:
            return text
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"

    @property
    def has_colour(self) -> bool:
        """Whether colours are written: on a terminal that has them, unless NO_COLOR is set."""
        return self.is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _width(is_terminal: bool) -> int | None:
    """Return how wide tables may be; `None`: as wide as they are, for who reads a pipe does not look at it."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    return shutil.get_terminal_size().columns if is_terminal else None


def _can(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def _encodable(stream: TextIO, text: str) -> str:
    """Return a text that the stream can write: what its encoding lacks is shown as escapes."""
    if _can(stream, text):
        return text
    encoding = stream.encoding or "ascii"
    return text.encode(encoding, "backslashreplace").decode(encoding)


# Times


def at_utc(ns: int) -> str:
    """Return a time as JSON has it: ISO 8601 in UTC, to the microsecond."""
    return (_EPOCH + timedelta(microseconds=ns // 1_000)).isoformat(timespec="microseconds")


def at_local(ns: int) -> str:
    """Return a time as tables have it: by the clock of this machine, to the second."""
    when = _EPOCH + timedelta(seconds=ns // 1_000_000_000)
    with suppress(OverflowError, OSError):  # Windows has no zones before 1970
        when = when.astimezone()
    return f"{when:%Y-%m-%d %H:%M:%S}"


def at_local_exactly(ns: int) -> str:
    """Return a time with its offset, to the millisecond."""
    when = _EPOCH + timedelta(milliseconds=ns // 1_000_000)
    with suppress(OverflowError, OSError):
        when = when.astimezone()
    return when.isoformat(sep=" ", timespec="milliseconds")


def span(ns: int) -> str:
    """Return how long a time is, in its largest fitting unit: `45s`, `36h`, `12d`."""
    seconds = abs(ns) // 1_000_000_000
    if seconds < 100:
        return f"{seconds}s"
    if seconds < 100 * 60:
        return f"{seconds // 60}m"
    if seconds < 48 * 3_600:
        return f"{seconds // 3_600}h"
    return f"{seconds // 86_400}d"


def from_now(ns: int, now_ns: int) -> str:
    """Return where a time is from now: `in 45s`, `3h ago`."""
    return f"in {span(ns - now_ns)}" if ns >= now_ns else f"{span(now_ns - ns)} ago"


def seconds(value: float) -> str:
    """Return a time that was measured, in a unit that needs few digits."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if value * factor >= 1 or unit == "µs":
            return f"{value * factor:.3g} {unit}"
    return ""


def size(count: float) -> str:
    """Return how many bytes these are, in a unit that needs few digits."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} TiB"


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: `1 job`, `2 jobs`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
