"""A configuration is a value, read from a mapping, and refuses what it does not know."""

import copy
import pickle
from collections import UserDict
from dataclasses import FrozenInstanceError

import pytest

from duewheel import Config
from duewheel.errors import ConfigError


def test_defaults():
    config = Config()
    assert (config.on, config.adapter, config.config) == (True, "local", {})


def test_is_a_value():
    one = Config(config={"workers": 4})
    assert one == Config(True, "local", {"workers": 4}) == copy.deepcopy(one) == pickle.loads(pickle.dumps(one))
    assert one != Config(config={"workers": "4"})
    assert hash(one) == hash(Config(config={"workers": 4}))
    assert repr(one) == "Config(on=True, adapter='local', config={'workers': 4})"
    with pytest.raises(FrozenInstanceError):
        one.on = False


def test_does_not_follow_the_callers_mapping():
    mine = {"workers": 4}
    config = Config(config=mine)
    mine["workers"] = 5
    assert config.config == {"workers": 4}


@pytest.mark.parametrize("mapping", [{}, {"on": False}, {"adapter": "x", "config": {"a": "1", "b": 2, "c": 0.5}}])
def test_from_mapping(mapping):
    assert Config.from_mapping(mapping) == Config(**mapping) == Config.from_mapping(UserDict(mapping))


def test_from_mapping_lists_what_there_is():
    with pytest.raises(ConfigError) as refused:
        Config.from_mapping({"adaptor": "local", "on": True, "jobs": 1})
    for name in ("'adaptor'", "'jobs'", "'adapter'", "'config'", "'on'"):
        assert name in str(refused.value)


@pytest.mark.parametrize("mapping", [None, [], "on", 1, [("on", True)]])
def test_from_mapping_refuses_what_is_none(mapping):
    with pytest.raises(ConfigError, match="must be a mapping"):
        Config.from_mapping(mapping)


@pytest.mark.parametrize(
    "fields",
    [
        {"on": "true"},
        {"on": 1},
        {"on": None},
        {"adapter": None},
        {"adapter": 1},
        {"config": None},
        {"config": [("workers", 4)]},
        {"config": {1: "x"}},
        {"config": {"workers": None}},
        {"config": {"workers": True}},
        {"config": {"workers": [4]}},
    ],
)
def test_bad_values(fields):
    with pytest.raises(ConfigError, match=next(iter(fields))):
        Config(**fields)
    with pytest.raises(ConfigError):
        Config.from_mapping(fields)
