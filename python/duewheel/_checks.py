"""Check what callers give: names, data, numbers and keywords; a refusal names the value and the remedy.

The extension reads valid values by itself, and calls these functions for all others.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, SupportsIndex

_P = ParamSpec("_P")

_SHOWN = 400
"""How many characters of a value a message has: a value that was given by mistake may be long."""


def check_name(value: object, what: str) -> None:
    """Refuse a target or an id that is not 1 to 255 bytes of UTF-8."""
    if not isinstance(value, str):
        remedy = ""
        if what == "target" and callable(value):
            remedy = ": register it with handle(name, function), and schedule for that name"
        raise TypeError(f"{what} must be a str, not {shown(value)}{remedy}")
    try:
        length = len(value.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{what} must be valid Unicode, without lone surrogates: {shown(value)}") from None
    if not 1 <= length <= 255:
        raise ValueError(f"{what} must have 1 to 255 bytes of UTF-8, not {length}: {shown(value)}")


def data_bytes(data: Any) -> bytes:
    """Return a copy of bytes-like data; `None` has none."""
    try:
        return b"" if data is None else bytes(memoryview(data))
    except TypeError:
        raise no_data(data) from None


def no_data(value: object) -> TypeError:
    """Make the error for data that is not bytes-like."""
    remedy = "text.encode() makes bytes of it" if isinstance(value, str) else "json.dumps(value).encode() is one way"
    return TypeError(f"data must be bytes-like, not {shown(value)}: {remedy}")


def no_target(value: object) -> TypeError:
    """Make the error for the target of a timer that is neither a name nor callable."""
    return TypeError(
        f"target must be a registered name (str) or a callable, not {shown(value)}: "
        "what the callable is to know is data=, given back as event.data"
    )


def headers(given: object) -> dict[str, str]:
    """Return a copy of the headers of a job: texts by name, at most 4 KiB of them; `None` has none."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(f"headers must be a mapping of str to str, not {shown(given)}")
    found, size = {}, 0
    for name, text in given.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise TypeError(f"headers must be a mapping of str to str, not of {shown(name)} to {shown(text)}")
        try:
            size += len(name.encode()) + len(text.encode())
        except UnicodeEncodeError:
            raise ValueError(
                f"headers must be valid Unicode, without lone surrogates: {shown(name)}: {shown(text)}"
            ) from None
        found[str(name)] = str(text)
    if size > MOST_OF_HEADERS:
        raise ValueError(
            f"headers must have at most {MOST_OF_HEADERS} bytes of UTF-8 in names and texts, not {size}: what is "
            "longer belongs into data"
        )
    return found


def listed_ids(ids: Iterable[str]) -> list[str]:
    """Return many ids, each of them checked."""
    must = f"ids must be an iterable of ids, not {shown(ids)}"
    if isinstance(ids, str | bytes):
        raise TypeError(must)
    try:
        each = iter(ids)  # what has items by number alone, as `Ids` does, is iterable, too
    except TypeError:
        raise TypeError(must) from None
    given = list(each)
    for one in given:
        check_name(one, "id")
    return given


def check_conflict(on_conflict: object, id: str | None) -> None:
    """Refuse what is no answer to an id that is taken."""
    must = "on_conflict must be 'error', 'ignore', 'update' or 'replace'"
    if not isinstance(on_conflict, str):
        raise TypeError(f"{must}, not {shown(on_conflict)}")
    if on_conflict not in ("error", "ignore", "update", "replace"):
        raise ValueError(f"{must}, not {shown(on_conflict)}")
    if on_conflict != "error" and id is None:
        raise ValueError("on_conflict says what becomes of the job that has the id: give it an id=, too")


def whole_number(value: object, what: str, least: int = 0, most: int = 2**32 - 1) -> int:
    """Return an `int`, or what has an `__index__`, from `least` to `most`; a `bool` is none."""
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise TypeError(f"{what} must be an int, not {value!r}")
    number = operator.index(value)
    if not least <= number <= most:
        raise ValueError(f"{what} must be from {least} to {most}, not {value!r}")
    return number


def is_async(fn: object) -> bool:
    """Tell whether calling a handler makes a coroutine, so that it is called on an event loop."""
    if not callable(fn):
        raise TypeError(f"a handler must be callable, not {fn!r}")
    while isinstance(fn, functools.partial):
        fn = fn.func
    # Not what it wraps: a sync function around a coroutine is called as a sync one, and may return the coroutine.
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(type(fn), "__call__", None))  # noqa: B004


MOST_OF_HEADERS = 4_096

_JOB_OPTIONS = ("retry_limit", "min_backoff", "max_backoff", "age_limit", "consistency")
_MANY = ("headers", "key", "keep")
_RARE = (*_MANY, "on_conflict")
KEYWORDS = {
    "JobOptions": _JOB_OPTIONS,
    "JobOptions.replace": _JOB_OPTIONS,
    "Scheduler.at": ("when", "target", "data", "id", "options", "connection", *_RARE, *_JOB_OPTIONS),
    "Scheduler.in_": ("delay", "target", "data", "id", "options", "connection", *_RARE, *_JOB_OPTIONS),
    "Scheduler.cancel": ("id", "connection"),
    "Scheduler.timer": ("delay", "target", "data", *_JOB_OPTIONS),
    "Scheduler.repeat": (
        *("schedule", "target", "data", "tz", "id", "start", "end", "count", "spread", "catch_up", "window"),
        *("pause_on_dead", "options", "headers", "key", *_JOB_OPTIONS),
    ),
    "Scheduler.at_many": ("whens", "target", "datas", "options", *_MANY, *_JOB_OPTIONS),
    "Scheduler.in_many": ("delays", "target", "datas", "options", *_MANY, *_JOB_OPTIONS),
}
"""The keywords of each call whose error lists them."""


def lists_keywords(init: Callable[_P, None]) -> Callable[_P, None]:
    """Make the error of a constructor for an unknown keyword list the keywords that it has."""
    function: Any = init
    code = function.__code__
    known = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    call = function.__qualname__.removesuffix(".__init__")
    KEYWORDS[call] = known

    @functools.wraps(init)
    def checked(*args: _P.args, **keywords: _P.kwargs) -> None:
        for name in keywords:
            if name not in known:
                raise unknown_keyword(name, call)
        init(*args, **keywords)

    return checked


def unknown_keyword(name: str, call: str) -> TypeError:
    """Make the error for a keyword that a call does not have: it lists the keywords of the call."""
    return TypeError(f"{call}() got an unexpected keyword argument {name!r}: it takes {', '.join(KEYWORDS[call])}")


def shown(value: object) -> str:
    """Return the text of a value, cut short where it is long."""
    try:
        text = repr(value)
    except Exception:  # an int of thousands of digits has none, for one
        return f"<{type(value).__name__}>"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 40]} … {text[-40:]}"


def check_keywords(call: str, keywords: Iterable[str]) -> None:
    """Refuse keywords that a call of the scheduler does not have."""
    for name in keywords:
        if name not in KEYWORDS[call]:
            raise unknown_keyword(name, call)
