"""Turn the arguments of a call into one value by the names of its parameters, and back.

Jobs are stored by names: whoever reads a row or writes one by hand sees what is what, and the order of the
parameters may change.
"""

from __future__ import annotations

from inspect import Parameter
from typing import TYPE_CHECKING, Any

from duewheel._checks import shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from inspect import Signature


class Names:
    """The names of a signature's parameters; those of `*args` and `**kwargs` stand for all that they collect."""

    def __init__(self, signature: Signature) -> None:
        def of(*kinds: object) -> tuple[str, ...]:
            return tuple(name for name, parameter in signature.parameters.items() if parameter.kind in kinds)

        self._by_position_alone = of(Parameter.POSITIONAL_ONLY)
        self._by_position = of(Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
        self._by_keyword = frozenset(of(Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY))
        self._others = next(iter(of(Parameter.VAR_POSITIONAL)), None)
        self._further = next(iter(of(Parameter.VAR_KEYWORD)), None)
        self._by_name_alone = not self._by_position_alone and self._others is None and self._further is None

    def named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call that fits the signature, by name."""
        named: dict[str, Any] = dict(zip(self._by_position, args, strict=False))
        if self._others is not None and len(args) > len(self._by_position):
            named[self._others] = list(args[len(self._by_position) :])
        if self._further is None:
            named.update(kwargs)
            return named
        further: dict[str, Any] = {}
        for name, value in kwargs.items():
            (named if name in self._by_keyword else further)[name] = value
        if further:
            named[self._further] = further
        return named

    def called(self, named: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Return how the function is called with these; a name that it does not have is a keyword."""
        kwargs = dict(named)
        if self._by_name_alone:
            return [], kwargs
        others = self._collected(kwargs, self._others, list)
        further = self._collected(kwargs, self._further, dict)
        args = []
        for name in self._by_position if others else self._by_position_alone:
            if name not in kwargs:
                break  # what is missing has a default, or the call is refused
            args.append(kwargs.pop(name))
        return [*args, *others], {**kwargs, **further}

    def _collected(self, named: dict[str, Any], name: str | None, kind: type) -> Any:
        found = kind() if name is None else named.pop(name, kind())
        if not isinstance(found, kind):
            raise TypeError(f"{name!r} must be a {kind.__name__}, not {shown(found)}")
        return found
