"""What the codecs by annotations have in common: the annotation of each parameter, by its name."""

from __future__ import annotations

from inspect import Parameter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inspect import Signature


def annotations_of(signature: Signature, codec: str) -> dict[str, Any]:
    """Return the annotation of each parameter; `*args` are a list of theirs, `**kwargs` a dictionary.

    **Raises** `TypeError` for an annotation that cannot be evaluated.
    """
    found: dict[str, Any] = {}
    for name, parameter in signature.parameters.items():
        annotation = evaluated(parameter.annotation, f"the annotation of {name!r}", codec)
        if parameter.kind is Parameter.VAR_POSITIONAL:
            annotation = list[annotation]  # type: ignore[valid-type]
        elif parameter.kind is Parameter.VAR_KEYWORD:
            annotation = dict[str, annotation]  # type: ignore[valid-type]
        found[name] = annotation
    return found


def evaluated(annotation: Any, what: str, codec: str) -> Any:
    """Return an annotation; without one anything is taken."""
    if annotation is Parameter.empty:
        return Any
    if isinstance(annotation, str) or hasattr(annotation, "__forward_arg__"):
        raise TypeError(
            f"{what} cannot be found: {annotation!r}: the codec {codec!r} needs it, so import it at the top of the "
            "module, and not for type checkers alone"
        )
    return annotation
