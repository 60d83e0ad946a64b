"""Read the imports of the package and hold that they run one way."""

import ast
import modulefinder
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ORDER = [
    "_answering",
    "_checks",
    "_extras",
    "_times",
    "_schedules",
    "errors",
    "_current",
    "_failure",
    "_log",
    "_core",
    "_carried",
    "_html",
    "_monitors",
    "_propagation",
    "logs",
    "_transactions",
    "_keywords",
    "options",
    "targets",
    "storage",
    "postgres",
    "_threads",
    "_signals",
    "_loop",
    "_repeats",
    "plugins",
    "_arounds",
    "_running",
    "_pauses",
    "_watch",
    "_signature",
    "codecs._names",
    "codecs._annotated",
    "codecs._json",
    "codecs._msgspec",
    "codecs._pydantic",
    "codecs",
    "tasks",
    "sharing._places",
    "sharing._words",
    "sharing._link",
    "sharing._calls",
    "sharing",
    "sharing._answers",
    "sharing._role",
    "sharing._shared",
    "scheduler",
    "_attempts",
    "otel",
    "prometheus",
    "sentry",
    "nop",
    "context",
    "config",
    "adapters",
    "aio._unopened",
    "aio._waits",
    "aio._handlers",
    "aio._lifespan",
    "aio._outcomes",
    "aio._repeats",
    "aio._storage",
    "aio._timeouts",
    "aio._upkeep",
    "aio._watched",
    "aio._tasks",
    "aio._plugging",
    "aio._context",
    "aio._client",
    "aio._sharing",
    "aio._roles",
    "aio",
    "testing",
    "pytest_plugin",
    "reference._zones",
    "reference._cron",
    "reference._recurrence",
    "reference._schedules",
    "reference._rules",
    "reference._repeats",
    "reference._given",
    "reference._queue",
    "reference._outcomes",
    "reference._scheduling",
    "reference._targets",
    "reference._repeating",
    "reference",
    "cli._ends",
    "cli._tables",
    "cli._output",
    "cli._when",
    "cli._shown",
    "cli._reach",
    "cli._call",
    "cli._jobs",
    "cli._repeats",
    "cli._dead",
    "cli._watching",
    "cli._stored",
    "cli._transfer",
    "cli._apscheduler",
    "cli._putting",
    "cli._taking",
    "cli._machine",
    "cli._checkups",
    "cli._doctor",
    "cli._parser",
    "cli",
    "__main__",
    "flask",
    "django._service",
    "django._backend",
    "django",
    "django.apps",
    "django.management",
    "django.management.commands",
    "django.management.commands.duewheel",
    "dashboard._format",
    "dashboard._cursor",
    "dashboard._history",
    "dashboard._charts",
    "dashboard._source",
    "dashboard._guard",
    "dashboard._why",
    "dashboard._view",
    "dashboard._pages",
    "dashboard._jobs",
    "dashboard._dead",
    "dashboard._actions",
    "dashboard._events",
    "dashboard",
    "",  # the package itself: what `import duewheel` gives, and what its attributes import when they are asked for
]
"""A module imports only what stands before it. A new module takes its place here."""

ON_DEMAND = ("testing", "reference", "pytest_plugin", "cli", "flask", "django", "__main__")
"""Modules, with those below them, that no other imports: the package does when its attribute is read."""

FOUND_BY_NAME = {
    "__main__",
    "django.apps",
    "django.management",
    "django.management.commands",
    "django.management.commands.duewheel",
}
"""Modules that `python -m duewheel` and `manage.py` find."""

PACKAGE = Path(find_spec("duewheel").origin).parent


def name_of(path):
    name = path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
    return "" if name == "__init__" else name.removesuffix(".__init__")


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def is_for_types_only(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) in (
        "TYPE_CHECKING",
        "typing.TYPE_CHECKING",
    )


def statements(node):
    """All statements below `node` that run: what only a type checker sees is no import."""
    for child in ast.iter_child_nodes(node):
        if is_for_types_only(child):
            for other in child.orelse:
                yield other
                yield from statements(other)
        else:
            yield child
            yield from statements(child)


def imports(source):
    """The modules of duewheel that a source imports, by the names of ORDER."""
    found = set()
    for node in statements(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            # from duewheel import errors: the module, not the package
            below = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name.removeprefix("duewheel.") in ORDER else node.module for name in below]
        else:
            continue
        for name in names:
            if name == "duewheel" or name.startswith("duewheel."):
                found.add(name.removeprefix("duewheel").removeprefix("."))
    return found


def test_the_reader_finds_the_imports_of_a_module():
    source = """
import os, duewheel.options
from duewheel import errors, Scheduler
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from duewheel.scheduler import Scheduler
else:
    import duewheel.nop
def late():
    from duewheel.config import Config
"""
    assert imports(source) == {"options", "errors", "", "nop", "config"}


@pytest.mark.parametrize("name", MODULES)
def test_imports_run_one_way(name):
    assert name in ORDER, f"give {name} a place in ORDER"
    found = imports(MODULES[name].read_text(encoding="utf-8"))
    assert found <= set(ORDER)
    assert found <= set(ORDER[: ORDER.index(name)])


@pytest.mark.parametrize("name", [name for name in MODULES if name and not name.startswith(ON_DEMAND)])
def test_only_the_package_imports_what_is_on_demand(name):
    found = imports(MODULES[name].read_text(encoding="utf-8"))
    assert not [other for other in found if other.startswith(ON_DEMAND)]


@pytest.mark.parametrize("name", MODULES)
def test_no_module_uses_a_private_name_of_another(name):
    """A private name is its module's alone; a private module is the package's."""
    for node in statements(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("duewheel"):
            used = {alias.name for alias in node.names if alias.name.startswith("_")}
            assert not {f"{node.module}.{private}" for private in used} - {f"duewheel.{module}" for module in ORDER}


def test_errors_import_nothing_that_could_import_them():
    assert imports(MODULES["errors"].read_text(encoding="utf-8")) == {"_times"}


def test_every_module_is_found_by_static_imports():
    """What the extension imports by name, and what is imported when it is first used, is found in Python, too.

    Who packs a program (PyInstaller, Nuitka, zipapps) looks for imports in Python alone.
    """
    found, left = set(), {""}
    while left:
        name = left.pop()
        found.add(name)
        left |= (imports(MODULES[name].read_text(encoding="utf-8")) & set(MODULES)) - found
    assert found == set(MODULES) - FOUND_BY_NAME


def test_a_module_finder_finds_every_module():
    finder = modulefinder.ModuleFinder(path=[str(PACKAGE.parent)], excludes=["numpy"])
    finder.import_hook("duewheel")
    named = {f"duewheel.{name}" for name in MODULES if name and name not in FOUND_BY_NAME}
    assert {name for name in finder.modules if name.startswith("duewheel.")} >= named


def test_aio_testing_and_reference_are_imported_when_they_are_asked_for():
    code = """
import sys, duewheel
assert "asyncio" not in sys.modules
assert duewheel.aio is sys.modules["duewheel.aio"]
assert duewheel.testing.ManualClock and duewheel.reference.ReferenceScheduler
try:
    duewheel.nothing
except AttributeError as error:
    assert "nothing" in str(error)
else:
    raise SystemExit(1)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_name_that_the_extension_lacks_is_missed_at_import():
    code = "import sys, types; sys.modules['duewheel._log'] = types.ModuleType('duewheel._log'); import duewheel"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr.endswith("AttributeError: module 'duewheel._log' has no attribute 'logger'\n")
