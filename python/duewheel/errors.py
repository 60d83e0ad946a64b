"""Name every way in which duewheel refuses, and the two signals with which a handler steers.

    DuewheelError
    ├── ConfigError (ValueError)            a configuration that names what there is not
    ├── DuplicateTargetError (ValueError)   the target has a handler already
    ├── DuplicateJobError (ValueError)      the id is taken by a pending or running job
    ├── StateError (RuntimeError)           right call, wrong moment
    │   ├── ClosedError                     after `close()`
    │   └── ForkedError                     in a forked child
    └── StorageError                        the store cannot or will not
        ├── StorageLockedError              another process owns the file
        ├── StorageFullError                no room on the disk
        ├── StorageCorruptError             the file is damaged, or no store of ours
        ├── StorageVersionError             written by a newer duewheel
        ├── WrongKeyError                   a key is missing or wrong
        └── PayloadTooLargeError (ValueError)   `data` is larger than the store takes

Wrong types, wrong values and dues out of range are the built-in `TypeError`, `ValueError` and
`OverflowError`. `Snooze` and `Discard` stand outside the tree: they are raised by a handler on
purpose, and `except DuewheelError` does not catch them.
"""

import math
from datetime import timedelta
from numbers import Integral, Real
from typing import Any, cast

__all__ = [
    "ClosedError",
    "ConfigError",
    "Discard",
    "DuewheelError",
    "DuplicateJobError",
    "DuplicateTargetError",
    "ForkedError",
    "PayloadTooLargeError",
    "Snooze",
    "StateError",
    "StorageCorruptError",
    "StorageError",
    "StorageFullError",
    "StorageLockedError",
    "StorageVersionError",
    "WrongKeyError",
]

_NS_PER_SECOND = 1_000_000_000
_NS_MAX = 2**63 - 1


class DuewheelError(Exception):
    """Stand at the root of every error that is duewheel's own."""


class ConfigError(DuewheelError, ValueError):
    """Refuse a configuration: an unknown adapter or key, or a bad value. The message lists what there is."""


class DuplicateTargetError(DuewheelError, ValueError):
    """Refuse a second handler for a target. Deregister the first to replace it."""


class DuplicateJobError(DuewheelError, ValueError):
    """Refuse an id that a pending or running job has already."""


class StateError(DuewheelError, RuntimeError):
    """Refuse a call that does not fit the moment, such as `drain()` from a handler of the same scheduler."""


class ClosedError(StateError):
    """Refuse a call on a closed scheduler."""


class ForkedError(StateError):
    """Refuse a call in a forked child: the scheduler stays with the parent. Make a new one in the child."""


class StorageError(DuewheelError):
    """Report that the durable store failed. After a failed sync it refuses everything until opened again."""


class StorageLockedError(StorageError):
    """Refuse to open a file that another process owns."""


class StorageFullError(StorageError):
    """Refuse a write for which the disk has no room."""


class StorageCorruptError(StorageError):
    """Refuse a file that is damaged or not a store of duewheel."""


class StorageVersionError(StorageError):
    """Refuse a file that a newer duewheel has written."""


class WrongKeyError(StorageError):
    """Refuse to open a store of which a key is missing or wrong."""


class PayloadTooLargeError(StorageError, ValueError):
    """Refuse `data` that is larger than the store's `max_data`."""


class Snooze(Exception):  # noqa: N818 - a signal, not an error
    """Raise in a handler to run the same attempt again after `delay`, not counted as a failure.

    **Time**: seconds or a `timedelta`, on the boot clock, from when the handler ended. A float's
    nanoseconds are the exact ceiling of its binary value, so the job never runs early.

    **Raises**: `TypeError` for what is no delay (a `bool` is none), `ValueError` for a negative one, NaN,
    NaT and infinities, `OverflowError` for one that 64-bit nanoseconds do not hold.

    >>> raise Snooze(90)
    Traceback (most recent call last):
    duewheel.errors.Snooze: 90
    """

    delay: float | timedelta
    """The delay as it was given."""

    _delay_ns: int

    def __init__(self, delay: float | timedelta) -> None:
        super().__init__(delay)
        self._delay_ns = _delay_ns(delay)
        self.delay = delay


class Discard(Exception):  # noqa: N818 - a signal, not an error
    """Raise in a handler to end its job as dead at once, whatever retries it has left.

    >>> raise Discard("the account is gone")
    Traceback (most recent call last):
    duewheel.errors.Discard: the account is gone
    """

    reason: str
    """Why, as `dead()` will show it."""

    def __init__(self, reason: str = "") -> None:
        if not isinstance(reason, str):
            raise TypeError(f"reason must be a str, not {reason!r}")
        super().__init__(reason)
        self.reason = reason


def _delay_ns(delay: object, what: str = "delay") -> int:
    """Convert a delay to nanoseconds, exactly, a fraction of one rounded up."""
    if type(delay).__name__ == "timedelta64":  # NumPy's, which passes for an integer, but not of seconds
        delay_ns = _timedelta64_ns(delay, what)
    elif isinstance(delay, timedelta):
        delay_ns = _timedelta_ns(delay)
    elif not _is_number(delay):
        raise TypeError(f"{what} must be seconds or a timedelta, not {delay!r}")
    elif isinstance(delay, Integral):
        delay_ns = int(delay) * _NS_PER_SECOND
    else:
        seconds = float(cast(float, delay))
        if not math.isfinite(seconds):
            raise ValueError(f"{what} must be finite, not {seconds}")
        numerator, denominator = seconds.as_integer_ratio()
        delay_ns = -(-numerator * _NS_PER_SECOND // denominator)
        if seconds < 0:
            delay_ns = -1  # the ceiling of -1e-10 s is 0 ns, yet it is negative
    if delay_ns < 0:
        raise ValueError(f"{what} must not be negative, got {delay}")
    if delay_ns > _NS_MAX:
        raise OverflowError(f"{what} does not fit in 64-bit nanoseconds (about 292 years): {delay}")
    return delay_ns


def _is_number(value: object) -> bool:
    """Say whether a value counts as one: Python's own but for `bool`, and NumPy's scalars."""
    if isinstance(value, int | float):
        return not isinstance(value, bool)
    return isinstance(value, Real) and type(value).__module__ == "numpy"


def _timedelta_ns(delay: timedelta) -> int:
    whole_seconds = delay.days * 86_400 + delay.seconds
    return whole_seconds * _NS_PER_SECOND + delay.microseconds * 1_000


def _timedelta64_ns(delay: Any, what: str) -> int:
    value = delay.item()  # a timedelta down to microseconds, None for NaT, else a bare count
    if isinstance(value, timedelta):
        return _timedelta_ns(value)
    if value is None:
        raise ValueError(f"{what} must not be NaT")
    if str(delay.dtype) != "timedelta64[ns]":
        raise TypeError(f"{what} must be seconds or a timedelta, not {delay.dtype}")
    return int(value)
