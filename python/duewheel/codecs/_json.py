"""The codec `"json"`: arguments and results as JSON of the standard library."""

from __future__ import annotations

from json import JSONDecoder, JSONEncoder
from json.encoder import encode_basestring_ascii as _quoted
from typing import TYPE_CHECKING, Any

from duewheel._checks import shown
from duewheel.codecs._names import Names

if TYPE_CHECKING:
    from collections.abc import Callable
    from inspect import Signature

_encode = JSONEncoder(allow_nan=False, separators=(",", ":")).encode
_decode = JSONDecoder().decode
_WORDS: dict[type, Callable[[Any], str]] = {
    str: _quoted,
    int: int.__repr__,
    bool: {True: "true", False: "false"}.__getitem__,
    type(None): {None: "null"}.__getitem__,
}
"""How values are written that always come back equal: most calls have no others, and need neither encoder nor check."""
_REMEDY = "give it in words of JSON, or take another codec"


class Json:
    """Store arguments by name as an object of JSON, and refuse what would not come back equal."""

    def __init__(self, signature: Signature) -> None:
        self._names = Names(signature)

    def dumps(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Return the bytes of the arguments."""
        named = self._names.named(args, kwargs)
        try:
            words = [f"{_quoted(name)}:{_WORDS[type(value)](value)}" for name, value in named.items()]
            return f"{{{','.join(words)}}}".encode()
        except (KeyError, ValueError):  # another type, or an int with too many digits
            pass
        try:
            text = _encode(named)
            if _decode(text) == named:
                return text.encode()
        except (TypeError, ValueError, RecursionError):
            pass
        for name, value in named.items():
            _text(value, f"the argument {name!r}")
        raise TypeError(f"these arguments cannot be stored as JSON: {shown(named)}: {_REMEDY}")

    def loads(self, data: bytes) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments; of no bytes, none."""
        named = _decode(data.decode()) if data else {}
        if not isinstance(named, dict):
            raise TypeError(f"it must be an object of JSON, the arguments by their names, not {shown(named)}")
        return self._names.called(named)

    def dumps_result(self, value: Any) -> bytes:
        """Return the bytes of what a task has returned."""
        return _text(value, "the result").encode()

    def loads_result(self, data: bytes) -> Any:
        """Return what a task has returned."""
        return _decode(data.decode())


def _text(value: Any, what: str) -> str:
    try:
        text = _encode(value)
        again = _decode(text)
        is_equal = bool(again == value)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"{what} cannot be stored as JSON: {shown(value)}: {error}: {_REMEDY}") from None
    if not is_equal:
        raise TypeError(f"{what} would not come back from JSON as it is: {shown(value)} as {shown(again)}: {_REMEDY}")
    return text
