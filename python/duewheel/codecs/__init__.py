"""Codecs: what makes bytes of the arguments of a task, and arguments of the bytes.

`"json"` is the one unless another is given. `"msgspec"` and `"pydantic"` read what they store by the annotations of the
function, and need the package of that name; a package adds others by entry points in the group `duewheel.codecs`. Any
object with the four calls of `Codec` may be given as it is.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from duewheel._checks import shown
from duewheel.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from inspect import Signature

__all__ = ["Codec", "find", "names"]

_GROUP = "duewheel.codecs"
_CALLS = ("dumps", "loads", "dumps_result", "loads_result")


class Codec(Protocol):
    """What makes bytes of arguments and results, and back; one that cannot raises, whatever it likes.

    A codec that wants to know the function has `for_signature(signature)` as well. It is called once a task, with an
    `inspect.Signature` without the event, its annotations evaluated where they can be, and returns the codec to use.
    """

    def dumps(self, args: tuple[Any, ...], kwargs: dict[str, Any], /) -> bytes:
        """Return the bytes of the arguments of a call; they fit the signature."""
        ...

    def loads(self, data: bytes, /) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """Return the arguments, by position and by name."""
        ...

    def dumps_result(self, value: Any, /) -> bytes:
        """Return the bytes of what a task has returned."""
        ...

    def loads_result(self, data: bytes, /) -> Any:
        """Return what a task has returned."""


@runtime_checkable
class _OfSignature(Protocol):
    def for_signature(self, signature: Signature, /) -> Codec: ...


def find(codec: str | Codec, signature: Signature) -> Codec:
    """Return the codec of this name, or the one that is given, for a function of this signature.

    **Raises** `ConfigError` for a name that there is not, and for a package that is not installed; `TypeError` for what
    is no codec, and for annotations that it cannot store.
    """
    if isinstance(codec, str):
        built_in = _BUILT_IN.get(codec)
        if built_in is not None:
            return built_in(signature)
        codec = _load(codec)
    if isinstance(codec, _OfSignature) and not isinstance(codec, type):
        codec = codec.for_signature(signature)
    missing = [call for call in _CALLS if not callable(getattr(codec, call, None))]
    if missing or isinstance(codec, type):
        problem = "that is a class: make one" if isinstance(codec, type) else f"it has no {', '.join(missing)}"
        raise TypeError(f"codec must be a name or an object with {', '.join(_CALLS)}, not {shown(codec)}: {problem}")
    return codec


def names() -> list[str]:
    """List the names of all codecs, sorted.

    **Cost**: reads the metadata of the installed packages, each time.

    >>> "json" in names()
    True
    """
    return sorted({*_BUILT_IN, *(entry.name for entry in entry_points(group=_GROUP))})


def _load(name: str) -> Codec:
    for entry in entry_points(group=_GROUP, name=name):
        try:
            codec: Codec = entry.load()
        except Exception as error:
            raise ConfigError(f"codec {name!r} ({entry.value}) does not load: {error}") from error
        return codec
    raise ConfigError(f"unknown codec {name!r}; there are {', '.join(map(repr, names()))}")


def _json(signature: Signature) -> Codec:
    from duewheel.codecs._json import Json

    return Json(signature)


def _msgspec(signature: Signature) -> Codec:
    try:
        from duewheel.codecs._msgspec import Msgspec
    except ImportError as error:
        raise _not_installed("msgspec", error) from error
    return Msgspec(signature)


def _pydantic(signature: Signature) -> Codec:
    try:
        from duewheel.codecs._pydantic import Pydantic
    except ImportError as error:
        raise _not_installed("pydantic", error) from error
    return Pydantic(signature)


def _not_installed(name: str, error: ImportError) -> ConfigError:
    return ConfigError(f"the codec {name!r} needs a package: pip install 'duewheel[{name}]' ({error})")


_BUILT_IN: dict[str, Callable[[Signature], Codec]] = {"json": _json, "msgspec": _msgspec, "pydantic": _pydantic}
