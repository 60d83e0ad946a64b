"""Describe a scheduler as data, so that a deployment chooses it and not the code."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from duewheel.errors import ConfigError

__all__ = ["Config"]

_FIELDS = ("adapter", "config", "on")


@dataclass(frozen=True, slots=True)
class Config:
    """Describe which scheduler to make; `duewheel.adapters.new` makes it.

    `on=False` switches scheduling off: every job is discarded. `adapter` names the kind of scheduler and
    `config` holds what that kind wants to know, as strings or numbers (`"4"` or `4`).

    **Raises**: `ConfigError` for values of a wrong type. Names and keys are the adapter's to check, in `new`.

    >>> Config(config={"workers": 4})
    Config(on=True, adapter='local', config={'workers': 4})
    """

    on: bool = True
    adapter: str = "local"
    config: Mapping[str, str | int | float] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not isinstance(self.on, bool):
            raise ConfigError(f"on must be true or false, not {self.on!r}")
        if not isinstance(self.adapter, str):
            raise ConfigError(f"adapter must be a string, not {self.adapter!r}")
        if not isinstance(self.config, Mapping):
            raise ConfigError(f"config must be a mapping, not {self.config!r}")
        for key, value in self.config.items():
            if not isinstance(key, str):
                raise ConfigError(f"config: a key must be a string, not {key!r}")
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                raise ConfigError(f"config: {key!r} must be a string or a number, not {value!r}")
        object.__setattr__(self, "config", dict(self.config))  # the caller's may change

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Read a configuration from what JSON or TOML gives; a key left out keeps its default.

        **Raises**: `ConfigError` for unknown keys and values of a wrong type.

        >>> Config.from_mapping({"adapter": "local", "config": {"workers": "4"}})
        Config(on=True, adapter='local', config={'workers': '4'})
        """
        if not isinstance(mapping, Mapping):
            raise ConfigError(f"a configuration must be a mapping, not {mapping!r}")
        unknown = ", ".join(repr(key) for key in mapping if key not in _FIELDS)
        if unknown:
            there_are = ", ".join(map(repr, _FIELDS))
            raise ConfigError(f"unknown {unknown} in the configuration; there are {there_are}")
        return cls(**mapping)
