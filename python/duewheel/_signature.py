"""Read the signature of a function that is to be a task: what its jobs give it, and whether it is given its event."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any

from duewheel._checks import shown
from duewheel._core import Event

if TYPE_CHECKING:
    from collections.abc import Callable

_NAMES_OF_EVENT = ("Event", "duewheel.Event")
"""What the annotation says where it cannot be evaluated: imported for type checkers alone."""


def read(fn: Callable[..., object]) -> tuple[inspect.Signature, bool]:
    """Return the signature without the event, annotations evaluated where they can be; whether it begins with one.

    **Raises** `TypeError` for what has no signature.
    """
    signature = _signature(fn)
    scope = getattr(inspect.unwrap(fn), "__globals__", {})
    parameters = [
        parameter.replace(annotation=_evaluated(parameter.annotation, scope))
        for parameter in signature.parameters.values()
    ]
    returns = _evaluated(signature.return_annotation, scope)
    takes_event = bool(parameters) and _is_event(parameters[0])
    return inspect.Signature(parameters[takes_event:], return_annotation=returns), takes_event


def checker(signature: inspect.Signature, name: str) -> Callable[..., None]:
    """Make a function of this signature that does nothing: called wrongly, it raises what the named one would.

    `inspect.Signature.bind` takes ten times as long.
    """
    bare = [
        parameter.replace(
            annotation=parameter.empty, default=parameter.empty if parameter.default is parameter.empty else None
        )
        for parameter in signature.parameters.values()
    ]
    made: dict[str, Any] = {}
    exec(f"def check{inspect.Signature(bare)}: pass", made)
    check: Callable[..., None] = made["check"]
    check.__qualname__ = name
    return check


def mark_async(task: Any) -> None:
    """Have a task pass for the coroutine function that it wraps: frameworks ask before they call."""
    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(task)
    else:
        import asyncio.coroutines

        task._is_coroutine = vars(asyncio.coroutines)["_is_coroutine"]


def _signature(fn: Callable[..., object]) -> inspect.Signature:
    try:
        if sys.version_info >= (3, 14):
            import annotationlib

            return inspect.signature(fn, annotation_format=annotationlib.Format.FORWARDREF)
        return inspect.signature(fn)
    except (TypeError, ValueError) as error:
        raise TypeError(f"a task must be a function with a signature, not {shown(fn)}: {error}") from None


def _evaluated(annotation: Any, scope: dict[str, Any]) -> Any:
    if isinstance(annotation, str):
        try:
            return eval(annotation, scope)
        except Exception:  # a name that only type checkers know, or of a local scope
            return annotation
    return annotation


def _is_event(first: inspect.Parameter) -> bool:
    annotation = first.annotation
    annotation = getattr(annotation, "__forward_arg__", annotation)
    is_positional = first.kind in (first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD)
    return is_positional and (annotation is Event or annotation in _NAMES_OF_EVENT)
