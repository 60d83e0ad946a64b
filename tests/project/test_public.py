"""Hold what a user sees of the package: its names, their documentation, the examples in it."""

import ast
import dataclasses
import doctest
import importlib
import inspect
import pkgutil
import warnings
from pathlib import Path

import pytest

import duewheel
from duewheel import _core

PROMISED = [
    "Scheduler",
    "Job",
    "Event",
    "DeadEvent",
    "JobOptions",
    "Stats",
    "Storage",
    "Timer",
    "Schedule",
    "Every",
    "Cron",
    "Times",
    "Days",
    "RRule",
    "LocalStorage",
    "Keyring",
    "Handler",
    "UNSET",
    "Consistency",
    "DEFAULT_RETRY_LIMIT",
    "DEFAULT_MIN_BACKOFF",
    "DEFAULT_MAX_BACKOFF",
    "Snooze",
    "Discard",
    "at",
    "in_",
    "use",
    "current_scheduler",
    "NopScheduler",
    "Config",
    "adapters",
    "DuewheelError",
    "ConfigError",
    "DuplicateTargetError",
    "DuplicateJobError",
    "StateError",
    "ClosedError",
    "ForkedError",
    "StorageError",
    "StorageLockedError",
    "StorageFullError",
    "StorageCorruptError",
    "StorageVersionError",
    "WrongKeyError",
    "PayloadTooLargeError",
    "UnreadableDataError",
    "current_event",
]

MODULES = ["duewheel"] + [
    module.name for module in pkgutil.walk_packages(duewheel.__path__, "duewheel.") if module.name != "duewheel._core"
]
PUBLIC_MODULES = [name for name in MODULES if "._" not in name]


def public_classes():
    return [name for name in duewheel.__all__ if inspect.isclass(getattr(duewheel, name))]


def test_all_is_sorted():
    # As ruff sorts it: CONSTANTS, Classes, functions.
    def key(name):
        return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)

    assert duewheel.__all__ == sorted(duewheel.__all__, key=key)
    assert len(duewheel.__all__) == len(set(duewheel.__all__))


def test_all_is_complete():
    modules = {name.removeprefix("duewheel.") for name in MODULES}
    here = {
        name for name, value in vars(duewheel).items()
        if not name.startswith("_") and not (inspect.ismodule(value) and name in modules)
    }  # fmt: skip
    assert here <= set(duewheel.__all__)
    assert set(duewheel.__all__) - here <= modules, "names of __all__ that there are not"


@pytest.mark.parametrize("name", PROMISED)
def test_what_is_promised_is_there(name):
    assert name in duewheel.__all__


@pytest.mark.parametrize("name", PUBLIC_MODULES)
def test_modules_are_documented(name):
    assert importlib.import_module(name).__doc__


def own_doc(value):
    """The docstring that a class, function or descriptor has of its own, not one of `object` that it inherits."""
    doc = vars(value).get("__doc__") if inspect.isclass(value) else getattr(value, "__doc__", None)
    return inspect.cleandoc(doc) if doc else None


def public_members(kind):
    """The methods, getters and the like of a class and of its bases that are ours, as they stand in them."""
    for base in kind.__mro__:
        if base.__module__.partition(".")[0] != "duewheel":
            continue
        for member, value in vars(base).items():
            if member.startswith("_") or not (
                callable(value) or inspect.isroutine(value) or inspect.isdatadescriptor(value)
            ):
                continue
            if dataclasses.is_dataclass(base) and inspect.ismemberdescriptor(value):
                continue  # the class documents its fields
            yield f"{base.__name__}.{member}", value


def test_an_inherited_docstring_does_not_count():
    class Bare:
        def method(self): ...

    assert Bare.__init__.__doc__
    assert own_doc(Bare) is None
    assert own_doc(type("Bare", (duewheel.Scheduler,), {})) is None
    assert own_doc(vars(Bare)["method"]) is None


@pytest.mark.parametrize("name", [n for n in duewheel.__all__ if callable(getattr(duewheel, n))])
def test_names_are_documented(name):
    value = getattr(duewheel, name)
    if isinstance(value, type) or inspect.isroutine(value):
        assert own_doc(value)


@pytest.mark.parametrize("name", public_classes())
def test_members_are_documented(name):
    assert not [member for member, value in public_members(getattr(duewheel, name)) if not own_doc(value)]


def documented_in_the_stub():
    """What `_core.pyi` says of each class, method and function that is there at run time, too."""
    tree = ast.parse(Path(duewheel.__path__[0], "_core.pyi").read_text(encoding="utf-8"))
    for node in tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef) or node.name.startswith("_"):
            continue
        yield pytest.param(getattr(_core, node.name), ast.get_docstring(node), id=node.name)
        for member in getattr(node, "body", ()):
            if isinstance(node, ast.ClassDef) and isinstance(member, ast.FunctionDef) and member.name[0] != "_":
                value = vars(getattr(_core, node.name))[member.name]
                yield pytest.param(value, ast.get_docstring(member), id=f"{node.name}.{member.name}")


@pytest.mark.parametrize(("value", "doc"), list(documented_in_the_stub()))
def test_stub_and_extension_say_the_same(value, doc):
    # Editors read the stub, help() reads the extension.
    assert doc
    assert doc == own_doc(value)


@pytest.mark.parametrize("name", public_classes())
def test_classes_name_a_module_that_has_them(name):
    kind = getattr(duewheel, name)
    assert getattr(importlib.import_module(kind.__module__), kind.__name__) is kind


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if not name.startswith("duewheel.django._"):
            raise
        pytest.skip(f"Django 6 is not here: {error}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # an example need not close what it makes
        result = doctest.testmod(module)
    assert result.failed == 0


def test_is_typed():
    package = Path(duewheel.__path__[0])
    assert (package / "py.typed").is_file()
    assert (package / "_core.pyi").is_file()


def test_has_a_version():
    assert duewheel.__version__
    assert importlib.import_module("importlib.metadata").version("duewheel") == duewheel.__version__


def test_needs_nothing_at_run_time():
    needed = importlib.import_module("importlib.metadata").requires("duewheel") or []
    assert not [requirement for requirement in needed if "extra ==" not in requirement]


@pytest.mark.parametrize(
    "name",
    [
        "aio",
        "codecs",
        "django",
        "flask",
        "logs",
        "otel",
        "plugins",
        "prometheus",
        "pytest_plugin",
        "reference",
        "sentry",
        "tasks",
        "testing",
    ],
)
def test_a_module_is_there_when_it_is_asked_for(name):
    assert getattr(duewheel, name) is importlib.import_module(f"duewheel.{name}")
