"""The codec `"pydantic"`: JSON by Pydantic, coerced by the annotations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, TypeAdapter
from typing_extensions import TypedDict  # Pydantic takes no other before Python 3.12, and needs it itself

from duewheel.codecs._annotated import annotations_of, evaluated
from duewheel.codecs._names import Names

if TYPE_CHECKING:
    from inspect import Signature

_CONFIG = ConfigDict(extra="forbid", ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="strings")


class Pydantic:
    """Store arguments by name as an object of JSON, coerced by their annotations at the call and when they are read."""

    def __init__(self, signature: Signature) -> None:
        self._names = Names(signature)
        typed_dict: Any = TypedDict  # made of what is known at run time alone
        arguments = typed_dict("Arguments", annotations_of(signature, "pydantic"), total=False)
        arguments.__pydantic_config__ = _CONFIG
        self._arguments = _Typed(arguments)
        self._returns = signature.return_annotation
        self._result: _Typed | None = None

    def dumps(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Return the bytes of the arguments, which their annotations take."""
        return self._arguments.dumps(self._names.named(args, kwargs), "the arguments cannot be stored")

    def loads(self, data: bytes) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments; of no bytes, none."""
        return self._names.called(self._arguments.loads(data or b"{}"))

    def dumps_result(self, value: Any) -> bytes:
        """Return the bytes of what a task has returned."""
        return self._typed_result().dumps(value, "the result cannot be stored")

    def loads_result(self, data: bytes) -> Any:
        """Return what a task has returned."""
        return self._typed_result().loads(data)

    def _typed_result(self) -> _Typed:
        if self._result is None:
            self._result = _Typed(evaluated(self._returns, "the annotation of what is returned", "pydantic"))
        return self._result


class _Typed:
    """Values of a type, as JSON.

    Pydantic takes a configuration for the type that is on the outside alone, and none for a model there: so the type
    stands in a tuple, whose brackets are not stored.
    """

    def __init__(self, kind: Any) -> None:
        of_one: Any = tuple
        self._adapter: TypeAdapter[Any] = TypeAdapter(of_one[kind], config=_CONFIG)

    def dumps(self, value: Any, problem: str) -> bytes:
        try:
            data = self._adapter.dump_json(self._adapter.validate_python((value,)), by_alias=True)
            self._adapter.validate_json(data)
        except Exception as error:  # of Pydantic, or of a validator that the user wrote
            raise TypeError(f"{problem}: {error}") from error
        return data[1:-1]

    def loads(self, data: bytes) -> Any:
        (value,) = self._adapter.validate_json(b"[" + data + b"]")
        return value
