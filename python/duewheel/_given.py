"""Read what callers give, in plain Python: times, names, data; and the words that refuse them.

The engine reads what is plain and right by itself: a `float`, an `int`, a `timedelta`, a `datetime`. All else it
gives to these functions, which read everything for the reference and for clocks, by the same rules.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec

_P = ParamSpec("_P")

SECOND = 1_000_000_000
FIRST_NS, LAST_NS = -(2**63), 2**63 - 1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_ZERO = timedelta(0)
_SHOWN = 400
"""How much of a value's text a message has: what is given by mistake may be long."""


# Times


def wall_ns(when: Any, what: str = "when") -> int:
    """Return the unix nanoseconds of an aware `datetime` or of unix seconds, rounded up.

    **Raises** `TypeError`, `ValueError` and `OverflowError`, as `Scheduler.at` does.
    """
    if isinstance(when, datetime):
        if type(when) is not datetime and when != when:  # pandas' NaT is a datetime
            raise ValueError(f"{what} must not be NaT")
        if when.tzinfo is None or when.utcoffset() is None:
            raise ValueError(f"{what} must be an aware datetime, and {when!r} is naive: give it a tzinfo")
        try:
            ns = _timedelta_ns(when - _EPOCH)
        except OverflowError:
            raise out_of_range(when, what) from None
    else:
        ns = _number_ns(when, "M", what, "an aware datetime or unix seconds")
    return held(ns, when, what)


def span_ns(span: Any, what: str) -> int:
    """Return the nanoseconds of a `timedelta` or of seconds, of either sign, rounded up."""
    return held(_span_ns(span, what), span, what)


def delay_ns(delay: Any, what: str = "delay") -> int:
    """Return the nanoseconds of a span that must not be negative."""
    ns = _span_ns(delay, what)
    # The ceiling of a tiny negative one is 0: ask it itself.
    if ns < 0 or (ns == 0 and (delay < _ZERO if isinstance(delay, timedelta) else delay < abs(delay))):
        raise ValueError(f"{what} must not be negative: {shown(delay)}")
    return held(ns, delay, what)


def _span_ns(span: Any, what: str) -> int:
    if isinstance(span, timedelta):
        try:
            return _timedelta_ns(span)
        except OverflowError:
            raise out_of_range(span, what) from None
    if isinstance(span, datetime) and span != span:  # it stands for a span as well
        raise ValueError(f"{what} must not be NaT")
    return _number_ns(span, "m", what, "seconds or a timedelta")


def _timedelta_ns(span: timedelta) -> int:
    """Return the nanoseconds of a `timedelta`; those of a subclass by its own arithmetic, rounded up.

    Its fields may not say all: pandas counts in other units, with nanoseconds.
    """
    if type(span) is timedelta:
        return ((span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds) * 1_000
    given: Any = span
    if hasattr(span, "as_unit"):  # pandas 2 and later
        try:
            return int(given.as_unit("ns").value)
        except ValueError as error:
            raise OverflowError(*error.args) from None
    try:
        whole = int(span // _MICROSECOND)
    except (TypeError, AttributeError):  # pendulum divides by its own kind alone
        whole = (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds
    if timedelta(microseconds=whole) < span:
        rest = getattr(span, "nanoseconds", None)
        return whole * 1_000 + (rest if isinstance(rest, int) and 0 < rest < 1_000 else 1_000)
    return whole * 1_000


def _number_ns(value: Any, kind: str, what: str, allowed: str) -> int:
    """Return the nanoseconds of a number of seconds, or of NumPy's dates (kind M) or spans (m)."""
    if isinstance(value, float):
        return _float_ns(value, value, what)
    if isinstance(value, int) and not isinstance(value, bool):
        return value * SECOND
    scalar: Any = value
    if type(value).__module__ == "numpy" and hasattr(value, "dtype") and scalar.ndim == 0:
        found = scalar.dtype.kind
        if found == kind:
            from duewheel._numpy import scalar_ns

            return scalar_ns(value, what)
        if found in "iu":
            return int(scalar) * SECOND
        if found == "f":
            return _float_ns(scalar[()], value, what)
    raise TypeError(f"{what} must be {allowed}, not {shown(value)}")


def _float_ns(seconds: Any, given: object, what: str) -> int:
    """Return the exact ceiling of a float's binary value: a rounding down would be early."""
    try:
        numerator, denominator = seconds.as_integer_ratio()
    except (OverflowError, ValueError):
        raise ValueError(f"{what} must be finite, not {given!r}") from None
    return int(-(-numerator * SECOND // denominator))


def held(ns: int, given: object, what: str) -> int:
    """Refuse what 64 bits do not hold."""
    if not FIRST_NS <= ns <= LAST_NS:
        raise out_of_range(given, what)
    return ns


def out_of_range(value: object, what: str) -> OverflowError:
    """Make the error for a time that 64 bits do not hold; it says so if it looks like one in another unit."""
    message = f"{what} is out of range: {shown(value)}; 64 bits of nanoseconds end after 292 years"
    return OverflowError(message + _other_unit(value, what))


_UNITS = {"milliseconds": 3, "microseconds": 6, "nanoseconds": 9}
_SPANS = {"delay", "timeout", "delta", "horizon", "min_backoff", "max_backoff", "age_limit"}


def _other_unit(value: Any, what: str) -> str:
    try:
        number = abs(float(value))
    except (TypeError, ValueError, OverflowError):
        return ""
    if what in _SPANS:
        return f". {what} is in seconds: nanoseconds are divided by 10**9" if number < LAST_NS else ""
    for unit, power in _UNITS.items():
        if 1e8 <= number / 10**power <= LAST_NS / SECOND:  # from the year 1973 on
            remedy = f"divide by 10**{power}"
            if unit == "nanoseconds":
                remedy += ", or give " + ("died_at of the dead event" if what == "before" else "due_at of the event")
            return f". It looks like unix {unit}, and seconds are meant: {remedy}"
    return ""


def exactly(ns: int, given: float | None = None) -> float | timedelta:
    """Say nanoseconds so that they are read as the same number: by the float that was given, if it says them."""
    seconds = ns / SECOND if given is None else given
    return seconds if _float_ns(seconds, seconds, "") == ns else Nanoseconds(ns)


class Nanoseconds(timedelta):
    """A span that no float and no plain `timedelta` may tell."""

    value: int

    def __new__(cls, ns: int) -> Nanoseconds:
        self = super().__new__(cls, microseconds=-(-ns // 1_000))
        self.value = ns
        return self

    def as_unit(self, _unit: str) -> Nanoseconds:
        """Return itself: it is in nanoseconds."""
        return self


# Names and data


def check_name(value: object, what: str) -> None:
    """Refuse what is not 1 to 255 bytes of UTF-8."""
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
    """Return a copy of what is bytes-like."""
    try:
        return b"" if data is None else bytes(memoryview(data))
    except TypeError:
        raise no_data(data) from None


def no_data(value: object) -> TypeError:
    """Make the error for data that is no bytes."""
    remedy = "text.encode() makes bytes of it" if isinstance(value, str) else "json.dumps(value).encode() is one way"
    return TypeError(f"data must be bytes-like, not {shown(value)}: {remedy}")


def unknown_keyword(name: str, call: str) -> TypeError:
    """Make the error for a keyword that a call does not have: it lists those that there are."""
    return TypeError(f"{call}() got an unexpected keyword argument {name!r}: it takes {', '.join(KEYWORDS[call])}")


_JOB_OPTIONS = ("retry_limit", "min_backoff", "max_backoff", "age_limit", "consistency")
KEYWORDS = {
    "JobOptions": _JOB_OPTIONS,
    "JobOptions.replace": _JOB_OPTIONS,
    "Scheduler.at": ("when", "target", "data", "id", "options", *_JOB_OPTIONS),
    "Scheduler.in_": ("delay", "target", "data", "id", "options", *_JOB_OPTIONS),
    "Scheduler.at_many": ("whens", "target", "datas", "options", *_JOB_OPTIONS),
    "Scheduler.in_many": ("delays", "target", "datas", "options", *_JOB_OPTIONS),
}


def lists_keywords(init: Callable[_P, None]) -> Callable[_P, None]:
    """Have a constructor list its keywords when it gets one that it does not have."""
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


def shown(value: object) -> str:
    """Return the text of a value, cut short where it is long."""
    try:
        text = repr(value)
    except Exception:  # an int of thousands of digits has none, for one
        return f"<{type(value).__name__}>"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 40]} … {text[-40:]}"
