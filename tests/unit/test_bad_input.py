"""Hold every row of the contract's "bad input is refused": its class, its message, and that nothing came of it.

A row is a bad value, the class of the error, and what its message must hold: what was given, as its ``repr``,
and what would be right. The engine and the reference refuse alike.
"""

import array
import re
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal

import numpy as np
import pytest

from duewheel import Consistency, JobOptions, Keyring, LocalStorage, Scheduler, WrongKeyError
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock

NAIVE = datetime(2027, 1, 1)  # noqa: DTZ001 - on purpose
INF, NAN = float("inf"), float("nan")


class Nowhere(tzinfo):
    """A zone that knows no offset: its datetimes are as naive as without one."""

    def utcoffset(self, when):
        return None


NOT_A_TIME = [True, False, "5", b"5", None, 1j, [1], {}, object, Decimal(1), np.bool_(True), np.array([1.0, 2.0])]
NOT_FINITE = [NAN, INF, -INF, np.float64("nan"), np.float32("inf")]
TOO_FAR = [1e10, -1e10, 1e300, 2**63, -(10**30), 9_223_372_037, np.float64(1e18)]


def row(value, error, *said):
    """A parameter set, named by its value; the message holds what is in it."""
    return pytest.param(value, error, said, id=f"{type(value).__name__}-{value!r}"[:60].replace("\n", " "))


def named(value):
    # An array is long to show: its beginning will do.
    return repr(value)[:40]


INSTANTS = [
    *[row(value, TypeError, named(value), "datetime", "seconds") for value in NOT_A_TIME],
    row(timedelta(1), TypeError, repr(timedelta(1)), "datetime"),
    row(np.timedelta64(1, "s"), TypeError, repr(np.timedelta64(1, "s")), "datetime"),
    row(NAIVE, ValueError, repr(NAIVE), "aware"),
    row(NAIVE.replace(tzinfo=Nowhere()), ValueError, "aware"),
    *[row(value, ValueError, repr(value), "finite") for value in NOT_FINITE],
    row(np.datetime64("NaT", "s"), ValueError, "NaT"),
    *[row(value, OverflowError, repr(value), "64 bits") for value in TOO_FAR],
    row(datetime(2300, 1, 1, tzinfo=UTC), OverflowError, "2300", "64 bits"),
    row(datetime(1600, 1, 1, tzinfo=UTC), OverflowError, "1600", "64 bits"),
]
OPTIONAL_INSTANTS = [param for param in INSTANTS if param.values[0] is not None]
DELAYS = [
    *[row(value, TypeError, named(value), "seconds", "timedelta") for value in NOT_A_TIME],
    row(NAIVE, TypeError, repr(NAIVE), "timedelta"),
    row(np.datetime64(1, "s"), TypeError, repr(np.datetime64(1, "s")), "timedelta"),
    *[row(value, ValueError, repr(value), "finite") for value in NOT_FINITE],
    row(np.timedelta64("NaT", "s"), ValueError, "NaT"),
    *[
        row(value, ValueError, repr(value), "negative")
        for value in [-1, -0.5, -1e-10, -5e-324, np.float64(-1e-10), np.float32(-1e-10), timedelta(microseconds=-1)]
    ],
    row(np.timedelta64(-1, "ns"), ValueError, "negative"),
    *[row(value, OverflowError, repr(value), "64 bits") for value in TOO_FAR if value > 0],
    row(timedelta.max, OverflowError, repr(timedelta.max), "64 bits"),
]
OPTIONAL_DELAYS = [param for param in DELAYS if param.values[0] is not None]
NAMES = [
    *[row(value, TypeError, repr(value), "str") for value in [b"a", 5, True, ["a"]]],
    *[row(value, ValueError, "1 to 255 bytes", repr(value)) for value in ["", "x" * 256, "é" * 128]],
    row("\ud800", ValueError, "surrogate", repr("\ud800")),
    row("ok\udfff", ValueError, "surrogate", repr("ok\udfff")),
]
TARGETS = [row(None, TypeError, "None", "str"), *NAMES]
DATA = [row(value, TypeError, repr(value), "bytes-like") for value in ["text", 5, 1.5, True, ["a"], object]]
AT_MOST_ONCE = Consistency.AT_MOST_ONCE
OPTIONS = [
    row({"retries": 3}, TypeError, "unexpected keyword", "retries"),
    row({"retry_limit": "3"}, TypeError, "'3'", "int"),
    row({"retry_limit": 3.0}, TypeError, "3.0", "int"),
    row({"retry_limit": True}, TypeError, "True", "int"),
    row({"retry_limit": -1}, ValueError, "-1", "negative"),
    row({"retry_limit": 2**32}, OverflowError, "4294967296", "2**32"),
    *[
        row({name: param.values[0]}, param.values[1], name, *param.values[2])
        for name in ["min_backoff", "max_backoff", "age_limit"]
        for param in DELAYS
        if param.values[0] is not None or name != "age_limit"
    ],
    *[
        row({"consistency": value}, TypeError, repr(value), "AT_MOST_ONCE", "AT_LEAST_ONCE")
        for value in ["at_most_once", 1, None, True]
    ],
    row({"min_backoff": 2, "max_backoff": 1}, ValueError, "min_backoff", "2", "max_backoff", "1"),
    row({"min_backoff": 1e-9, "max_backoff": 0}, ValueError, "min_backoff", "max_backoff"),
    row({"age_limit": 5, "min_backoff": 0}, ValueError, "age_limit", "min_backoff", "5"),
    row({"age_limit": 5, "min_backoff": 0, "retry_limit": None}, ValueError, "age_limit", "min_backoff"),
    row({"consistency": AT_MOST_ONCE, "retry_limit": 1}, ValueError, "AT_MOST_ONCE", "retry_limit", "1"),
]
# Each is right alone, and wrong over the defaults.
RESOLVED = [
    row({"min_backoff": 3601}, ValueError, "min_backoff", "3601", "max_backoff"),
    row({"max_backoff": 0.5}, ValueError, "min_backoff", "max_backoff", "0.5"),
]


@pytest.fixture(params=[Scheduler, ReferenceScheduler], ids=["engine", "reference"])
def scheduler(request):
    """An empty scheduler, which must be as empty afterwards."""
    scheduler = request.param(clock=ManualClock(1_000))
    yield scheduler
    assert len(scheduler) == 0
    stats = scheduler.stats()
    assert (stats.scheduled, stats.cancelled, stats.pending) == (0, 0, 0)
    assert scheduler.next() is None
    scheduler.close()


def refuses(error, said, call, *arguments, **keywords):
    with pytest.raises(error) as caught:
        call(*arguments, **keywords)
    # OverflowError is an ArithmeticError, the others are leaves: no row may pass by inheritance.
    assert caught.type is error
    for words in said:
        assert words in str(caught.value), f"{words!r} is not in {str(caught.value)!r}"


# Times


@pytest.mark.parametrize(("value", "error", "said"), INSTANTS)
def test_a_wrong_due_is_refused(scheduler, value, error, said):
    refuses(error, said, scheduler.at, value, "t")


@pytest.mark.parametrize(("value", "error", "said"), INSTANTS)
def test_a_wrong_due_of_many_is_refused(scheduler, value, error, said):
    refuses(error, said, scheduler.at_many, [1, value, 2], "t")


@pytest.mark.parametrize(("value", "error", "said"), DELAYS)
def test_a_wrong_delay_is_refused(scheduler, value, error, said):
    refuses(error, said, scheduler.in_, value, "t")


@pytest.mark.parametrize(("value", "error", "said"), DELAYS)
def test_a_wrong_delay_of_many_is_refused(scheduler, value, error, said):
    refuses(error, said, scheduler.in_many, [1, value, 2], "t")


@pytest.mark.parametrize("make", [lambda values: array.array("d", values), np.array], ids=["array", "numpy"])
@pytest.mark.parametrize(("call", "value", "error"), [
    ("at_many", NAN, ValueError), ("at_many", INF, ValueError), ("at_many", 1e10, OverflowError),
    ("in_many", NAN, ValueError), ("in_many", -INF, ValueError), ("in_many", -1.0, ValueError),
    ("in_many", -5e-324, ValueError), ("in_many", 1e10, OverflowError),
])  # fmt: skip
def test_buffers_that_are_no_bytes_are_refused(scheduler, make, call, value, error):
    refuses(error, [repr(value)], getattr(scheduler, call), make([1.0, 2.0, value]), "t")


@pytest.mark.parametrize(("call", "values", "error", "said"), [
    ("at_many", np.array(["2027-01-01", "NaT"], "datetime64[s]"), ValueError, "NaT"),
    ("in_many", np.array([1, "NaT"], "timedelta64[s]"), ValueError, "NaT"),
    ("in_many", np.array([1, -1], "timedelta64[s]"), ValueError, "negative"),
    ("at_many", np.array(["2027", "2500"], "datetime64[Y]"), OverflowError, "64 bits"),
    ("at_many", np.array([1, 2], "timedelta64[s]"), TypeError, "datetime"),
    ("in_many", np.array([1, 2], "datetime64[s]"), TypeError, "timedelta"),
], ids=["NaT", "NaT-span", "negative", "far", "spans", "dates"])  # fmt: skip
def test_wrong_dates_of_numpy_are_refused(scheduler, call, values, error, said):
    refuses(error, [said], getattr(scheduler, call), values, "t")


@pytest.mark.parametrize("call", ["at_many", "in_many"])
@pytest.mark.parametrize("values", ["12", b"12", 5, None, True, 1.5], ids=repr)
def test_what_is_no_sequence_of_times_is_refused(scheduler, call, values):
    refuses(TypeError, [repr(values), "sequence"], getattr(scheduler, call), values, "t")


@pytest.mark.parametrize(("call", "name"), [
    (lambda: Scheduler(None, 5), "Scheduler.__init__() takes from 1 to 2 positional arguments but 3 were given"),
    (lambda: Scheduler().at(1), "Scheduler.at() missing 1 required positional argument: 'target'"),
], ids=["Scheduler", "at"])  # fmt: skip
def test_wrong_arguments_name_the_class_that_users_know(call, name):
    # From 3.15 Python adds what may have been meant.
    with pytest.raises(TypeError, match=rf"^{re.escape(name)}(\. Did you mean .*)?$"):
        call()


@pytest.mark.filterwarnings("ignore:The 'generic' unit for NumPy:DeprecationWarning")  # from NumPy 2.5
def test_a_nat_of_no_unit_is_refused(scheduler):
    refuses(ValueError, ["NaT"], scheduler.at, np.datetime64("NaT"), "t")
    refuses(ValueError, ["NaT"], scheduler.in_, np.timedelta64("NaT"), "t")


def test_a_due_past_the_end_of_time_is_refused(scheduler):
    """The delay alone would fit; the wall clock's due would not."""
    refuses(OverflowError, ["64 bits"], scheduler.in_, 9_223_372_036, "t")
    refuses(OverflowError, ["64 bits"], scheduler.in_many, [1, 9_223_372_036], "t")


@pytest.mark.parametrize("id", ["taken", "unknown"])
@pytest.mark.parametrize(("value", "error", "said"), INSTANTS)
def test_a_wrong_due_to_reschedule_to_is_refused(scheduler, id, value, error, said):
    scheduler = type(scheduler)(clock=ManualClock(1_000))
    scheduler.at(5, "t", id="taken")
    refuses(error, said, scheduler.reschedule, id, value)
    assert scheduler.get("taken").due == 5_000_000_000
    scheduler.close()


@pytest.mark.parametrize("call", ["next", "between"])
@pytest.mark.parametrize("bound", ["start", "end"])
@pytest.mark.parametrize(("value", "error", "said"), OPTIONAL_INSTANTS)
def test_wrong_bounds_are_refused(scheduler, call, bound, value, error, said):
    refuses(error, [bound, *said], getattr(scheduler, call), **{bound: value})


@pytest.mark.parametrize(("value", "error", "said"), OPTIONAL_INSTANTS)
def test_a_wrong_time_to_purge_is_refused(scheduler, value, error, said):
    refuses(error, ["before", *said], scheduler.purge, value)


@pytest.mark.parametrize(("value", "error"), [
    ("a", TypeError), (b"a", TypeError), (7, TypeError), ([7], TypeError), (["a", ""], ValueError), ([None], TypeError),
    (["x" * 256], ValueError),
])  # fmt: skip
def test_wrong_ids_to_purge_are_refused(scheduler, value, error):
    refuses(error, ["id"], scheduler.purge, ids=value)


@pytest.mark.parametrize("call", ["drain", "wait"])
@pytest.mark.parametrize(("value", "error", "said"), OPTIONAL_DELAYS)
def test_wrong_timeouts_are_refused(scheduler, call, value, error, said):
    refuses(error, ["timeout", *said], getattr(scheduler, call), value)


# Targets, ids, data

SCHEDULE = pytest.mark.parametrize(
    ("call", "first"), [("at", 5), ("in_", 5), ("at_many", [5, 6]), ("in_many", [5, 6])], ids=lambda value: str(value)
)


@SCHEDULE
@pytest.mark.parametrize(("value", "error", "said"), TARGETS)
def test_wrong_targets_are_refused(scheduler, call, first, value, error, said):
    refuses(error, ["target", *said], getattr(scheduler, call), first, value)


@pytest.mark.parametrize("call", ["at", "in_"])
@pytest.mark.parametrize(("value", "error", "said"), NAMES)
def test_wrong_ids_that_are_given_are_refused(scheduler, call, value, error, said):
    refuses(error, ["id", *said], getattr(scheduler, call), 5, "t", id=value)


@pytest.mark.parametrize("call", ["cancel", "get", "revive", "__contains__"])
@pytest.mark.parametrize(("value", "error", "said"), TARGETS)
def test_wrong_ids_that_are_asked_for_are_refused(scheduler, call, value, error, said):
    refuses(error, ["id", *said], getattr(scheduler, call), value)


@pytest.mark.parametrize(("value", "error", "said"), TARGETS)
def test_wrong_ids_to_reschedule_are_refused(scheduler, value, error, said):
    refuses(error, ["id", *said], scheduler.reschedule, value, 5)


@pytest.mark.parametrize("call", ["at", "in_"])
@pytest.mark.parametrize(("value", "error", "said"), DATA)
def test_wrong_data_are_refused(scheduler, call, value, error, said):
    refuses(error, ["data", *said], getattr(scheduler, call), 5, "t", value)


@pytest.mark.parametrize("call", ["at_many", "in_many"])
@pytest.mark.parametrize(("value", "error", "said"), DATA)
def test_wrong_data_of_one_of_many_are_refused(scheduler, call, value, error, said):
    refuses(error, ["data", *said], getattr(scheduler, call), [5, 6], "t", [b"right", value])


@pytest.mark.parametrize("call", ["at_many", "in_many"])
@pytest.mark.parametrize("datas", ["ab", b"ab", 5, True], ids=repr)
def test_what_is_no_sequence_of_datas_is_refused(scheduler, call, datas):
    refuses(TypeError, ["datas", repr(datas), "sequence"], getattr(scheduler, call), [5, 6], "t", datas)


@pytest.mark.parametrize("call", ["at_many", "in_many"])
@pytest.mark.parametrize("datas", [[], [b"a"], [b"a"] * 3], ids=len)
def test_times_and_datas_of_unequal_lengths_are_refused(scheduler, call, datas):
    refuses(ValueError, ["datas", str(len(datas)), "2"], getattr(scheduler, call), [5, 6], "t", datas)


@pytest.mark.parametrize("call", ["at_many", "in_many"])
def test_many_take_no_id(scheduler, call):
    refuses(TypeError, ["id"], getattr(scheduler, call), [5, 6], "t", id="a")


# Options


@SCHEDULE
@pytest.mark.parametrize(("keywords", "error", "said"), [*OPTIONS, *RESOLVED])
def test_wrong_job_options_of_a_call_are_refused(scheduler, call, first, keywords, error, said):
    refuses(error, said, getattr(scheduler, call), first, "t", **keywords)


@SCHEDULE
@pytest.mark.parametrize("options", [{}, {"retry_limit": 3}, 5, "fast", JobOptions], ids=repr)
def test_wrong_options_of_a_call_are_refused(scheduler, call, first, options):
    refuses(TypeError, ["options", repr(options), "JobOptions"], getattr(scheduler, call), first, "t", options=options)


@pytest.mark.parametrize(("keywords", "error", "said"), OPTIONS)
def test_wrong_job_options_are_refused(keywords, error, said):
    refuses(error, said, JobOptions, **keywords)
    refuses(error, said, JobOptions().replace, **keywords)


@pytest.mark.parametrize("make", [Scheduler, lambda **given: ReferenceScheduler(clock=ManualClock(), **given)])
@pytest.mark.parametrize(("keywords", "error", "said"), RESOLVED)
def test_wrong_options_of_a_scheduler_are_refused(make, keywords, error, said):
    refuses(error, said, make, options=JobOptions(**keywords))


def test_options_that_contradict_each_other_are_refused():
    scheduler = Scheduler(options=JobOptions(max_backoff=10))
    refuses(ValueError, ["min_backoff", "20", "10"], scheduler.in_, 1, "t", min_backoff=20)
    refuses(
        ValueError, ["retry_limit"], scheduler.in_, 1, "t", options=JobOptions(retry_limit=1), consistency=AT_MOST_ONCE
    )
    refuses(ValueError, ["min_backoff", "9"], scheduler.in_, 1, "t", options=JobOptions(min_backoff=9), max_backoff=8)
    refuses(ValueError, ["age_limit"], scheduler.in_, 1, "t", options=JobOptions(min_backoff=0), age_limit=8)
    assert len(scheduler) == 0
    scheduler.close()


# Schedulers and handlers

SEEDS = [
    *[row({"seed": value}, TypeError, "seed", repr(value)) for value in ["1", 1.0, True]],
    *[row({"seed": value}, ValueError, "seed", repr(value)) for value in [-1, 2**64]],
    *[row({"options": value}, TypeError, "options", repr(value), "JobOptions") for value in [{}, 5, "fast"]],
]


@pytest.mark.parametrize(("keywords", "error", "said"), [
    *SEEDS,
    *[row({"workers": value}, TypeError, "workers", repr(value), "int") for value in ["4", 4.0, True]],
    *[row({"workers": value}, ValueError, "workers", repr(value), "1") for value in [0, -1]],
    *[row({"clock": value}, TypeError, "clock", repr(value), "ManualClock") for value in [5, "now", ManualClock]],
    *[row({"storage": value}, TypeError, "storage", repr(value)) for value in [5, True, 1.5]],
    row({"speed": 5}, TypeError, "speed"),
])  # fmt: skip
def test_wrong_arguments_of_a_scheduler_are_refused(keywords, error, said):
    refuses(error, said, Scheduler, **keywords)


@pytest.mark.parametrize(("keywords", "error", "said"), SEEDS)
def test_wrong_arguments_of_a_reference_are_refused(keywords, error, said):
    refuses(error, said, ReferenceScheduler, clock=ManualClock(), **keywords)


@pytest.mark.parametrize(("value", "error", "said"), TARGETS)
def test_wrong_targets_of_handlers_are_refused(scheduler, value, error, said):
    refuses(error, ["target", *said], scheduler.handle, value, print)
    refuses(error, ["target", *said], scheduler.handler, value)


@pytest.mark.parametrize("fn", [None, 5, "print"], ids=repr)
def test_what_is_no_handler_is_refused(scheduler, fn):
    refuses(TypeError, ["callable", repr(fn)], scheduler.handle, "t", fn)
    scheduler.handle("t", print)  # and the target is free still


# Storage

KEY = bytes(32)
HORIZONS = [
    *[row(value, TypeError, repr(value), "seconds", "timedelta") for value in [True, "5", b"5", None, 1j, [1], {}]],
    row(NAIVE, TypeError, "seconds", "timedelta"),
    *[row(value, ValueError, repr(value), "finite") for value in NOT_FINITE],
    row(np.timedelta64("NaT", "s"), ValueError, "NaT"),
    *[row(value, ValueError, repr(value), "negative") for value in [-1, -1e-10, timedelta(microseconds=-1)]],
    *[row(value, OverflowError, repr(value), "64 bits") for value in [1e10, 2**63, timedelta.max]],
]


def whole(name, least, most):
    """Rows of an argument that is a whole number within bounds."""
    return [
        *[row({name: value}, TypeError, name, repr(value), "int") for value in ["5", 5.0, True, None, [5]]],
        *[row({name: value}, ValueError, name, repr(value), str(least)) for value in [least - 1, -1, most + 1]],
    ]


@pytest.mark.parametrize(("keywords", "error", "said"), [
    *[row({"path": value}, TypeError, "path", repr(value), "str") for value in [b"jobs.db", 5, None, True, ["a"]]],
    *[row({"path": value}, ValueError, "path", repr(value), "file") for value in ["", "a\0b"]],
    *[row({"durability": value}, TypeError, "durability", repr(value), "'commit'", "'relaxed'")
      for value in [None, True, 5, ["commit"]]],
    *[row({"durability": value}, ValueError, "durability", repr(value), "'commit'", "'relaxed'")
      for value in ["", "Commit", "full"]],
    *[row({"keys": value}, TypeError, "keys", repr(value), "Keyring") for value in [5, {1: 5}, True, Keyring]],
    *whole("max_data", 0, 999_000_000),
    *whole("resident", 1, 2**32 - 1),
    *whole("max_interruptions", 1, 2**32 - 1),
    *[row({"horizon": value}, error, "horizon", *said) for value, error, said in (param.values for param in HORIZONS)],
    row({"size": 5}, TypeError, "size"),
])  # fmt: skip
def test_a_wrong_local_storage_is_refused(keywords, error, said):
    refuses(error, said, LocalStorage, **{"path": "jobs.db"} | keywords)


def test_a_local_storage_takes_a_path_alone():
    refuses(TypeError, ["positional"], LocalStorage, "jobs.db", "commit")


@pytest.mark.parametrize(("keys", "default", "error", "said"), [
    *[pytest.param(value, 1, TypeError, ["keys", "mapping", type(value).__name__], id=repr(value)[:20])
      for value in [None, 5, KEY, [KEY], {1}]],
    pytest.param({}, 1, ValueError, ["key"], id="no keys"),
    *[pytest.param({value: KEY}, 1, TypeError, ["number of a key", repr(value), "int"], id=f"{value!r}: key")
      for value in ["1", 1.0, None, True]],
    *[pytest.param({value: KEY}, 1, ValueError, ["number of a key", repr(value), "4294967295"], id=f"{value}: key")
      for value in [-1, 2**32]],
    *[pytest.param({1: value}, 1, TypeError, ["key 1", "32 bytes", type(value).__name__], id=f"1: {value!r}"[:20])
      for value in ["k" * 32, 32, None, [0] * 32]],
    *[pytest.param({1: value}, 1, ValueError, ["key 1", "32 bytes", str(len(value))], id=f"{len(value)} bytes")
      for value in [b"", bytes(16), bytearray(31), bytes(33)]],
    *[pytest.param({1: KEY}, value, TypeError, ["default", repr(value), "int"], id=f"default {value!r}")
      for value in ["1", 1.0, None, True, [1]]],
    pytest.param({1: KEY, 3: KEY}, 2, WrongKeyError, ["default", "2", "[1, 3]"], id="default 2"),
])  # fmt: skip
def test_a_wrong_keyring_is_refused(keys, default, error, said):
    refuses(error, said, Keyring, keys, default=default)


@pytest.mark.parametrize("value", ["secret" * 6, b"secret" * 6, [b"secret"]], ids=lambda value: type(value).__name__)
def test_no_message_holds_a_key(value):
    with pytest.raises((TypeError, ValueError)) as caught:
        Keyring({1: value}, default=1)
    assert "secret" not in str(caught.value)
    assert "00" not in repr(Keyring({1: KEY}, default=1)) and "x00" not in repr(LocalStorage("a", keys=None))


@pytest.mark.parametrize("call", [lambda s: s.in_(9e9, "t"), lambda s: s.in_many([1.0, 9e9], "t")])
def test_a_delay_that_ends_past_all_dues_is_named(call):
    with Scheduler() as scheduler:
        with pytest.raises(OverflowError, match=r"delay is out of range: 9000000000\.0 s; .* end in the year 2262"):
            call(scheduler)
        assert len(scheduler) == 0
