"""Convert the times that callers give to nanoseconds, exactly: wall times, delays, NumPy's dates and spans.

The extension converts a `float`, an `int`, a `timedelta` and a `datetime` by itself, and calls these functions for all
other values; the reference and manual clocks call them for every value. NumPy is imported when a value of it is given.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from duewheel._checks import shown

if TYPE_CHECKING:
    from array import array

SECOND = 1_000_000_000
FIRST_NS, LAST_NS = -(2**63), 2**63 - 1
"""The bounds of 64-bit nanoseconds; the first one is NumPy's NaT, too."""

_READ_IN = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s"))
"""From how many seconds on which units are read best: the second one of so many seconds."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_ZERO = timedelta(0)


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
    return checked_ns(ns, when, what)


def span_ns(span: Any, what: str) -> int:
    """Return the nanoseconds of a `timedelta` or of seconds, of either sign, rounded up."""
    return checked_ns(_span_ns(span, what), span, what)


def span_text(ns: int) -> str:
    """Return how long a time is, for people: `4.200 s`, `5 min 10 s`, `2 h 5 min`, `3 d 4 h`."""
    if ns < 120 * SECOND:
        return f"{ns / SECOND:.3f} s"
    whole = ns // SECOND
    least, unit, part, part_unit = next(units for units in _READ_IN if whole >= units[0])
    rest = whole % least // part
    return f"{whole // least:,} {unit}" + (f" {rest} {part_unit}" if rest else "")


def delay_ns(delay: Any, what: str = "delay") -> int:
    """Return the nanoseconds of a span that must not be negative."""
    ns = _span_ns(delay, what)
    # The ceiling of a tiny negative number is 0: the number itself is compared.
    if ns < 0 or (ns == 0 and (delay < _ZERO if isinstance(delay, timedelta) else delay < abs(delay))):
        raise ValueError(f"{what} must not be negative: {shown(delay)}")
    return checked_ns(ns, delay, what)


def period_ns(period: Any) -> int:
    """Return the nanoseconds of a period, rounded to the nearest: its times lie on a grid, which has no "early"."""
    ns = _span_ns(period, "period")
    if not isinstance(period, timedelta):
        number = period[()] if hasattr(period, "dtype") else period
        if hasattr(number, "as_integer_ratio"):
            numerator, denominator = number.as_integer_ratio()
            above = 2 * (ns * denominator - numerator * SECOND)
            ns -= above > denominator or (above == denominator and ns % 2 == 1)
    if ns <= 0:
        raise ValueError(f"period must be more than 0, and at least 1 ns, not {shown(period)}")
    return checked_ns(ns, period, "period")


def is_number(value: object) -> bool:
    """Return whether a value is a number, or a scalar of NumPy's, which may be a span."""
    if type(value).__module__ == "numpy":
        return hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0
    return isinstance(value, int | float) and not isinstance(value, bool)


def _span_ns(span: Any, what: str) -> int:
    if isinstance(span, timedelta):
        try:
            return _timedelta_ns(span)
        except OverflowError:
            raise out_of_range(span, what) from None
    if isinstance(span, datetime) and span != span:  # pandas has one NaT for dates and spans
        raise ValueError(f"{what} must not be NaT")
    return _number_ns(span, "m", what, "seconds or a timedelta")


def _timedelta_ns(span: timedelta) -> int:
    """Return the nanoseconds of a `timedelta`; of a subclass by its own arithmetic, rounded up.

    The fields of a subclass may lack a part: pandas counts nanoseconds, too.
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
    except (TypeError, AttributeError):  # pendulum divides by its own class alone
        whole = (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds
    if timedelta(microseconds=whole) < span:
        rest = getattr(span, "nanoseconds", None)
        return whole * 1_000 + (rest if isinstance(rest, int) and 0 < rest < 1_000 else 1_000)
    return whole * 1_000


def _number_ns(value: Any, kind: str, what: str, allowed: str) -> int:
    """Return the nanoseconds of a number of seconds, or of a NumPy scalar of a kind: a date (M) or a span (m)."""
    if isinstance(value, float):
        return _float_ns(value, value, what)
    if isinstance(value, int) and not isinstance(value, bool):
        return value * SECOND
    scalar: Any = value
    if type(value).__module__ == "numpy" and hasattr(value, "dtype") and scalar.ndim == 0:
        found = scalar.dtype.kind
        if found == kind:
            return _numpy_scalar_ns(value, what)
        if found in "iu":
            return int(scalar) * SECOND
        if found == "f":
            return _float_ns(scalar[()], value, what)
    raise TypeError(f"{what} must be {allowed}, not {shown(value)}")


def _float_ns(seconds: Any, given: object, what: str) -> int:
    """Return the exact ceiling of a float's binary value: rounded down, a job would be early."""
    try:
        numerator, denominator = seconds.as_integer_ratio()
    except (OverflowError, ValueError):
        raise ValueError(f"{what} must be finite, not {given!r}") from None
    return int(-(-numerator * SECOND // denominator))


def checked_ns(ns: int, given: object, what: str) -> int:
    """Return nanoseconds that fit into 64 bits; refuse others."""
    if not FIRST_NS <= ns <= LAST_NS:
        raise out_of_range(given, what)
    return ns


def out_of_range(value: object, what: str) -> OverflowError:
    """Make the error for a time that does not fit into 64 bits; it names the unit that the time may be in."""
    message = f"{what} is out of range: {shown(value)}; 64 bits of nanoseconds end after 292 years"
    return OverflowError(message + _other_unit(value, what))


_UNITS = {"milliseconds": 3, "microseconds": 6, "nanoseconds": 9}
_SPANS = {"delay", "period", "timeout", "delta", "horizon", "min_backoff", "max_backoff", "age_limit"}


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
    """Return a span that is read as exactly `ns`: the float that was given, if it is."""
    seconds = ns / SECOND if given is None else given
    return seconds if _float_ns(seconds, seconds, "") == ns else Nanoseconds(ns)


class Nanoseconds(timedelta):
    """A span that is exact where no float and no plain `timedelta` may be."""

    value: int

    def __new__(cls, ns: int) -> Nanoseconds:
        self = super().__new__(cls, microseconds=-(-ns // 1_000))
        self.value = ns
        return self

    def as_unit(self, _unit: str) -> Nanoseconds:
        """Return itself: it is in nanoseconds."""
        return self

    def __reduce__(self) -> tuple[type[Nanoseconds], tuple[int]]:
        """Pickle it with all of its nanoseconds."""
        return Nanoseconds, (self.value,)


_NUMPY_UNITS = {
    "W": (604_800_000_000_000, 1),
    "D": (86_400_000_000_000, 1),
    "h": (3_600_000_000_000, 1),
    "m": (60_000_000_000, 1),
    "s": (1_000_000_000, 1),
    "ms": (1_000_000, 1),
    "us": (1_000, 1),
    "ns": (1, 1),
    "ps": (1, 1_000),
    "fs": (1, 1_000_000),
    "as": (1, 1_000_000_000),
}
"""The nanoseconds of a unit, as numerator and denominator."""


def numpy_array_ns(values: Any, what: str, may_be_negative: bool = True) -> array[int]:
    """Return the nanoseconds of an array of `datetime64` or `timedelta64`, rounded up.

    **Raises** `ValueError` for NaT and for spans without a length (months), `OverflowError` for
    what does not fit into 64 bits.
    """
    from array import array

    import numpy as np

    if values.ndim != 1:
        raise TypeError(f"{what} must have one dimension, not {values.ndim}: {values!r}")
    unit, step = np.datetime_data(values.dtype)
    if unit in ("Y", "M") and values.dtype.kind == "M":
        per_year = 1 if unit == "Y" else 12
        if any(abs(count) * step > 300 * per_year for count in values.astype("int64").tolist() if count != FIRST_NS):
            raise OverflowError(f"{what} is beyond 64 bits of nanoseconds: {values!r}")  # days would wrap around
        values = values.astype("datetime64[D]")
        unit, step = "D", 1
    if unit not in _NUMPY_UNITS:
        if bool(np.isnat(values).any()):
            raise ValueError(f"{what} must not be NaT: {values!r}")
        raise ValueError(f"{what} must have a unit of a fixed length, not {unit!r}: {values!r}")
    numerator, denominator = _NUMPY_UNITS[unit]
    out = array("q")
    for count in values.astype("int64").tolist():
        if count == FIRST_NS:
            raise ValueError(f"{what} must not be NaT: {values!r}")
        if count < 0 and not may_be_negative:
            raise ValueError(f"{what} must not be negative: {values!r}")
        ns = -(-count * step * numerator // denominator)
        if not FIRST_NS <= ns <= LAST_NS:
            raise OverflowError(f"{what} is beyond 64 bits of nanoseconds: {values!r}")
        out.append(ns)
    return out


def _numpy_scalar_ns(value: Any, what: str) -> int:
    """Return the nanoseconds of one `datetime64` or `timedelta64`, rounded up."""
    try:
        return numpy_array_ns(value.reshape(1), what)[0]
    except (ValueError, OverflowError) as error:
        raise type(error)(f"{what} is no time: {value!r}: {error}") from None
