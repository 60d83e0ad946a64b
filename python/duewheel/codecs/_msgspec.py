"""The codec `"msgspec"`: JSON by msgspec, read by the annotations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec  # pyright: ignore[reportMissingImports] - an extra

from duewheel.codecs._annotated import annotations_of, evaluated
from duewheel.codecs._names import Names

if TYPE_CHECKING:
    from inspect import Signature


class Msgspec:
    """Store arguments by name as an object of JSON, and read them back as what their annotations say."""

    def __init__(self, signature: Signature) -> None:
        self._names = Names(signature)
        annotations = annotations_of(signature, "msgspec")
        fields = [(name, annotation, msgspec.UNSET) for name, annotation in annotations.items()]
        self._fields = tuple(annotations)
        arguments = msgspec.defstruct("Arguments", fields, kw_only=True, forbid_unknown_fields=True)
        self._arguments: Any = msgspec.json.Decoder(arguments)
        self._returns = signature.return_annotation
        self._result: Any = None

    def dumps(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Return the bytes of the arguments, which their annotations take."""
        try:
            data: bytes = msgspec.json.encode(self._names.named(args, kwargs))
            self._arguments.decode(data)
        except Exception as error:  # of msgspec, or of what a value's own methods raise
            raise TypeError(f"the arguments cannot be stored: {error}") from error
        return data

    def loads(self, data: bytes) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments; of no bytes, none."""
        found = self._arguments.decode(data or b"{}")
        named = {name: value for name in self._fields if (value := getattr(found, name)) is not msgspec.UNSET}
        return self._names.called(named)

    def dumps_result(self, value: Any) -> bytes:
        """Return the bytes of what a task has returned."""
        try:
            data: bytes = msgspec.json.encode(value)
            self.loads_result(data)
        except Exception as error:
            raise TypeError(f"the result cannot be stored: {error}") from error
        return data

    def loads_result(self, data: bytes) -> Any:
        """Return what a task has returned."""
        if self._result is None:
            kind = evaluated(self._returns, "the annotation of what is returned", "msgspec")
            self._result = msgspec.json.Decoder(None if kind is None else kind)
        return self._result.decode(data)
