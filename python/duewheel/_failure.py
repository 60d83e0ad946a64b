"""The text of an exception, made when it is read.

To make a traceback's text takes tens of microseconds, and of a thousand dead jobs few are read. So
an ordinary exception is kept as its places (code object and instruction, which refer to no local
variable) and its last lines; the text that `traceback` would have made is made of them.

No text is longer than `LIMIT`: a thousand dead jobs are held in memory, and rows on disk are read again.
"""

from __future__ import annotations

import traceback
from types import CodeType, TracebackType

LIMIT = 64 * 1024
"""The longest text, in bytes of UTF-8."""

_DEEPEST = 64
_SHORT = LIMIT // 8  # characters, of which each takes at most four bytes

Captured = tuple[tuple[tuple[CodeType, int, int], ...], str]


def bounded(text: str) -> str:
    """Keep head and tail of a long text and say how many bytes are left out: `LIMIT` bytes in all."""
    if len(text) <= LIMIT // 4:
        return text
    data = text.encode("utf-8", "surrogatepass")
    if len(data) <= LIMIT:
        return text
    room = (LIMIT - len(_left_out(len(data)).encode())) // 2
    head, tail = room, len(data) - room
    # A character is not cut in two.
    while data[head] & 0xC0 == 0x80:
        head -= 1
    while data[tail] & 0xC0 == 0x80:
        tail += 1
    first, last = (part.decode("utf-8", "surrogatepass") for part in (data[:head], data[tail:]))
    return f"{first}{_left_out(tail - head)}{last}"


def _left_out(count: int) -> str:
    return f"\n… {count} bytes left out …\n"


def capture(error: BaseException) -> Captured | str:
    """Return the parts that the text of `error` is made of, or the text itself where parts are not enough."""
    simple = (
        error.__cause__ is None
        and (error.__context__ is None or error.__suppress_context__)
        and not hasattr(error, "__notes__")
        and not isinstance(error, (SyntaxError, BaseExceptionGroup, ImportError, NameError))
        and not isinstance(error, AttributeError)  # the last three may come with suggestions
    )
    if simple:
        kind = type(error)
        where: list[tuple[CodeType, int, int]] = []
        tb: TracebackType | None = error.__traceback__
        while tb is not None and len(where) < _DEEPEST:
            where.append((tb.tb_frame.f_code, tb.tb_lineno, tb.tb_lasti))
            tb = tb.tb_next
        if tb is None:
            name = kind.__qualname__
            if kind.__module__ not in ("builtins", "__main__"):
                name = f"{kind.__module__}.{name}"
            said = _str(error)
            last = f"{name}: {said}\n" if said else f"{name}\n"
            if len(last) <= _SHORT:
                return tuple(where), last
    try:
        return bounded("".join(traceback.format_exception(error)))
    except Exception:  # an exception whose own methods raise must not stop its worker
        return bounded(f"{type(error).__qualname__}: <its text could not be made>\n")


def _str(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:
        return "<exception str() failed>"


def render(captured: Captured) -> str:
    """Make the text that `traceback.format_exception` would have made."""
    where, last = captured
    if not where:
        return last
    frames = []
    for code, line, instruction in where:
        positions: tuple[int | None, ...] = (None, None, None, None)
        for index, found in enumerate(code.co_positions()):
            if index == instruction // 2:
                positions = found
                break
        _, end_line, column, end_column = positions
        frames.append(
            traceback.FrameSummary(
                code.co_filename,
                line,
                code.co_name,
                lookup_line=False,
                end_lineno=end_line,
                colno=column,
                end_colno=end_column,
            )
        )
    shown = "".join(traceback.StackSummary.from_list(frames).format())
    return bounded(f"Traceback (most recent call last):\n{shown}{last}")
