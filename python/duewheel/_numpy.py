"""NumPy's dates and spans as exact nanoseconds, without importing NumPy until one is given."""

from __future__ import annotations

from array import array
from typing import Any

# Nanoseconds of a unit, as numerator and denominator.
_UNITS = {
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
_NAT = -(2**63)
_LAST = 2**63 - 1


def array_ns(values: Any, what: str, may_be_negative: bool = True) -> array[int]:
    """Return the nanoseconds of an array of `datetime64` or `timedelta64`, rounded up.

    **Raises** `ValueError` for NaT and for spans without a length (months), `OverflowError` for
    what 64 bits do not hold.
    """
    import numpy as np

    if values.ndim != 1:
        raise TypeError(f"{what} must have one dimension, not {values.ndim}: {values!r}")
    unit, step = np.datetime_data(values.dtype)
    if unit in ("Y", "M") and values.dtype.kind == "M":
        per_year = 1 if unit == "Y" else 12
        if any(abs(count) * step > 300 * per_year for count in values.astype("int64").tolist() if count != _NAT):
            raise OverflowError(f"{what} is beyond 64 bits of nanoseconds: {values!r}")  # days would wrap around
        values = values.astype("datetime64[D]")
        unit, step = "D", 1
    if unit not in _UNITS:
        if bool(np.isnat(values).any()):
            raise ValueError(f"{what} must not be NaT: {values!r}")
        raise ValueError(f"{what} must have a unit of a fixed length, not {unit!r}: {values!r}")
    numerator, denominator = _UNITS[unit]
    out = array("q")
    for count in values.astype("int64").tolist():
        if count == _NAT:
            raise ValueError(f"{what} must not be NaT: {values!r}")
        if count < 0 and not may_be_negative:
            raise ValueError(f"{what} must not be negative: {values!r}")
        ns = -(-count * step * numerator // denominator)
        if not _NAT <= ns <= _LAST:
            raise OverflowError(f"{what} is beyond 64 bits of nanoseconds: {values!r}")
        out.append(ns)
    return out


def scalar_ns(value: Any, what: str) -> int:
    """Return the nanoseconds of one `datetime64` or `timedelta64`, rounded up."""
    try:
        return array_ns(value.reshape(1), what)[0]
    except (ValueError, OverflowError) as error:
        raise type(error)(f"{what} is no time: {value!r}: {error}") from None
