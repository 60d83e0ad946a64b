"""Decide by pure functions how options are resolved, and what follows a failed attempt."""

from hashlib import blake2b
from typing import Any

from duewheel._core import JobOptions
from duewheel._times import SECOND, exactly
from duewheel.errors import UnreadableDataError
from duewheel.options import DEFAULT_MAX_BACKOFF, DEFAULT_MIN_BACKOFF, DEFAULT_RETRY_LIMIT, UNSET, Consistency


def resolve(above: JobOptions, below: JobOptions) -> JobOptions:
    """Lay options over others, field by field, and fill in what stays unset.

    **Raises**: ``ValueError`` for ``min_backoff`` above ``max_backoff``, and for an age limit alone with
    ``min_backoff`` 0, which would retry without a pause.
    """

    def pick(name: str, default: Any) -> Any:
        values = (getattr(layer, name) for layer in (above, below))
        return next((value for value in values if value is not UNSET), default)

    consistency = pick("consistency", Consistency.AT_LEAST_ONCE)
    age_limit = pick("_age_limit_ns", None)
    retry_limit = pick("retry_limit", DEFAULT_RETRY_LIMIT if age_limit is None else None)
    return JobOptions(
        retry_limit=0 if consistency is Consistency.AT_MOST_ONCE else retry_limit,
        min_backoff=exactly(pick("_min_backoff_ns", round(DEFAULT_MIN_BACKOFF * SECOND))),
        max_backoff=exactly(pick("_max_backoff_ns", round(DEFAULT_MAX_BACKOFF * SECOND))),
        age_limit=None if age_limit is None else exactly(age_limit),
        consistency=consistency,
    )


def is_final(options: JobOptions, error: BaseException) -> bool:
    """Tell whether no retry follows this failure, whatever limits are left."""
    return options.consistency is Consistency.AT_MOST_ONCE or isinstance(error, UnreadableDataError)


def exhausted(options: JobOptions, attempt: int, age_ns: int) -> bool:
    """Tell whether a job is dead whose attempt (from 1) failed at this age: when every limit it has is reached."""
    limits = (attempt - 1, options.retry_limit), (age_ns, options._age_limit_ns)
    reached = [value >= limit for value, limit in limits if isinstance(limit, int)]
    return bool(reached) and all(reached)


def ceiling_ns(options: JobOptions, attempt: int) -> int:
    """Return the longest backoff after this attempt: ``min(max_backoff, min_backoff · 2ⁿ)``."""
    low, high = options._min_backoff_ns, options._max_backoff_ns
    # Past 63 doublings anything above zero is beyond 64 bits; the shift itself must stay small.
    return min(high, low << min(attempt, 63))


def backoff_ns(options: JobOptions, seed: int, id: str, attempt: int) -> int:
    """Return the backoff after this attempt: uniform in ``[min_backoff, ceiling]``, drawn by BLAKE2b."""
    low = options._min_backoff_ns
    return low + (_draw(seed, id, attempt) * (ceiling_ns(options, attempt) - low + 1) >> 64)


def spread_ns(seed: int, id: str, spread: int) -> int:
    """Return the fixed offset of a repeat: uniform in ``[0, spread]``, drawn as backoffs are, as of attempt 0."""
    return _draw(seed, id, 0) * (spread + 1) >> 64


def _draw(seed: int, id: str, attempt: int) -> int:
    message = id.encode() + attempt.to_bytes(4, "little")
    digest = blake2b(message, digest_size=8, key=seed.to_bytes(8, "little")).digest()
    return int.from_bytes(digest, "little")
