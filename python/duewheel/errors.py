"""Name every way in which duewheel refuses, and the two signals with which a handler steers.

    DuewheelError
    ├── ConfigError (ValueError)            a configuration that names what there is not
    ├── DuplicateTargetError (ValueError)   the target has a handler already
    ├── DuplicateJobError (ValueError)      the id is taken by a pending or running job
    ├── UnreadableDataError (ValueError)    what a job has as its data cannot be read
    ├── StateError (RuntimeError)           right call, wrong moment
    │   ├── ClosedError                     after `close()`
    │   └── ForkedError                     in a forked child
    └── StorageError                        the store cannot or will not
        ├── StorageLockedError              another process owns the file
        ├── StorageUnavailableError         the server cannot be reached
        ├── StorageFullError                no room on the disk
        ├── StorageCorruptError             the file is damaged, or no store of ours
        ├── StorageVersionError             written by a newer duewheel
        ├── WrongKeyError                   a key is missing or wrong
        └── PayloadTooLargeError (ValueError)   `data` is larger than the store takes

Wrong types, wrong values and dues out of range are the built-in `TypeError`, `ValueError` and
`OverflowError`. `Snooze` and `Discard` stand outside the tree: they are raised by a handler on
purpose, and `except DuewheelError` does not catch them.
"""

from datetime import timedelta

from duewheel._times import delay_ns

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
    "StorageUnavailableError",
    "StorageVersionError",
    "UnreadableDataError",
    "WrongKeyError",
]


class DuewheelError(Exception):
    """Stand at the root of every error that is duewheel's own."""


class ConfigError(DuewheelError, ValueError):
    """Refuse a configuration: an unknown adapter or key, or a bad value. The message lists what there is."""


class DuplicateTargetError(DuewheelError, ValueError):
    """Refuse a second handler for a target. Deregister the first to replace it."""


class DuplicateJobError(DuewheelError, ValueError):
    """Refuse an id that a pending or running job has already."""


class UnreadableDataError(DuewheelError, ValueError):
    """Report that the data of a job cannot be read. Raised by a handler it ends the job as dead, with no retry.

    Tasks raise it for data that their codec cannot read, or that does not fit their signature. The reason is
    `"failed"`; `revive` runs the job again, once what reads it is mended.
    """


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


class StorageUnavailableError(StorageError):
    """Report that the server of a database cannot be reached. Nothing was changed; try again when it is back."""


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
        self._delay_ns = delay_ns(delay)
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
