"""Stand in for the attributes of a scheduler that is not opened: reading them afterwards costs no check."""

from __future__ import annotations

from typing import Any, NoReturn

from duewheel.errors import StateError


class _Unopened:
    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # any object may be asked for it
            raise AttributeError(name)
        raise StateError("this scheduler was not opened: super().__init__() was not called, or has raised")


UNOPENED: Any = _Unopened()
"""The value of attributes until `__init__` has opened the scheduler: using it raises `StateError`."""
