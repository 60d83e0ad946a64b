"""The tree of errors, and the signals that stand outside of it."""

import math
import pickle
from datetime import timedelta
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duewheel import errors
from duewheel.errors import Discard, DuewheelError, Snooze

TREE = {
    "DuewheelError": (Exception,),
    "ConfigError": (DuewheelError, ValueError),
    "DuplicateTargetError": (DuewheelError, ValueError),
    "DuplicateJobError": (DuewheelError, ValueError),
    "StateError": (DuewheelError, RuntimeError),
    "ClosedError": (errors.StateError,),
    "ForkedError": (errors.StateError,),
    "StorageError": (DuewheelError,),
    "StorageLockedError": (errors.StorageError,),
    "StorageUnavailableError": (errors.StorageError,),
    "StorageFullError": (errors.StorageError,),
    "StorageCorruptError": (errors.StorageError,),
    "StorageVersionError": (errors.StorageError,),
    "UnreadableDataError": (DuewheelError, ValueError),
    "WrongKeyError": (errors.StorageError,),
    "PayloadTooLargeError": (errors.StorageError, ValueError),
}


@pytest.mark.parametrize("name", TREE)
def test_tree(name):
    assert getattr(errors, name).__bases__ == TREE[name]


def test_tree_is_complete():
    assert sorted([*TREE, "Snooze", "Discard"]) == errors.__all__


@pytest.mark.parametrize("name", errors.__all__)
def test_drawing_shows_all(name):
    assert name in errors.__doc__


@pytest.mark.parametrize("signal", [Snooze, Discard])
def test_signals_stand_outside(signal):
    assert signal.__bases__ == (Exception,)


@pytest.mark.parametrize(
    ("delay", "delay_ns"),
    [
        (0, 0),
        (0.0, 0),
        (-0.0, 0),
        (30, 30_000_000_000),
        (0.1, 100_000_001),  # its binary value is a little above a tenth
        (0.5, 500_000_000),
        (1e-9, 2),  # a little above 1e-9
        (5e-324, 1),
        (timedelta(days=2, seconds=3, microseconds=5), 172_803_000_005_000),
        (np.float64(0.1), 100_000_001),
        (np.float32(0.5), 500_000_000),
        (np.int32(3), 3_000_000_000),
        (np.uint8(3), 3_000_000_000),
        (np.timedelta64(1_500, "ms"), 1_500_000_000),
        (np.timedelta64(2**62 + 1, "ns"), 2**62 + 1),
        (np.timedelta64(1, "ps"), 1),
        (9_223_372_036, 9_223_372_036_000_000_000),
    ],
)
def test_snooze_delay(delay, delay_ns):
    snooze = Snooze(delay)
    assert snooze.delay is delay
    assert snooze._delay_ns == delay_ns
    assert isinstance(snooze._delay_ns, int)


@given(st.floats(min_value=0, max_value=9e9))
def test_snooze_is_the_exact_ceiling(delay):
    exact = Fraction(delay) * 10**9
    assert Snooze(delay)._delay_ns == math.ceil(exact)


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=100_000)))
def test_snooze_timedelta_is_exact(delay):
    assert Snooze(delay)._delay_ns == delay // timedelta(microseconds=1) * 1_000


@pytest.mark.parametrize(
    "delay",
    [
        True,
        False,
        None,
        "30",
        b"30",
        1j,
        [],
        object(),
        Fraction(1),
        np.True_,
        np.array([1.0]),
    ],
)
def test_snooze_refuses_types(delay):
    with pytest.raises(TypeError, match="delay must be seconds or a timedelta, not"):
        Snooze(delay)


@pytest.mark.parametrize(
    "delay",
    [
        -1,
        -1e-12,
        -5e-324,
        math.nan,
        math.inf,
        -math.inf,
        timedelta(microseconds=-1),
        np.float64("nan"),
        -(10**30),
        np.timedelta64("NaT", "s"),
        np.timedelta64(-1, "s"),
    ],
)
def test_snooze_refuses_values(delay):
    with pytest.raises(ValueError, match="delay must"):
        Snooze(delay)


@pytest.mark.parametrize("delay", [9_223_372_037, 10**30, 1e300, timedelta.max])
def test_snooze_refuses_what_does_not_fit(delay):
    with pytest.raises(OverflowError, match="292 years"):
        Snooze(delay)


def test_discard():
    assert Discard().reason == ""
    assert Discard("gone").reason == "gone"
    assert str(Discard("gone")) == "gone"
    for reason in (None, b"gone", 1):
        with pytest.raises(TypeError, match="reason must be a str"):
            Discard(reason)


@pytest.mark.parametrize("signal", [Snooze(30), Snooze(timedelta(1)), Discard("gone"), Discard()])
def test_signals_pickle(signal):
    copy = pickle.loads(pickle.dumps(signal))
    assert vars(copy) == vars(signal)
    assert copy.args == signal.args
