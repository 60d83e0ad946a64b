"""Read the imports of the package and hold that they run one way."""

import ast
from importlib.util import find_spec
from pathlib import Path

import pytest

ORDER = [
    "_numpy",
    "_given",
    "errors",
    "_current",
    "_failure",
    "_log",
    "_core",
    "options",
    "storage",
    "_loop",
    "scheduler",
    "nop",
    "context",
    "config",
    "adapters",
    "aio",
    "",  # the package itself: what `import duewheel` gives
    "testing",
    "reference",
]
"""A module imports only what stands before it. A new module takes its place here."""

ASIDE = {"testing", "reference"}
"""What nothing imports, each other apart."""

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
            names = [node.module]
            if node.module == "duewheel":  # from duewheel import errors: the module, not the package
                below = [alias.name for alias in node.names]
                names = [f"duewheel.{name}" if name in ORDER else "duewheel" for name in below]
        else:
            continue
        for name in names:
            if name == "duewheel" or name.startswith("duewheel."):
                found.add(name.removeprefix("duewheel").removeprefix("."))
    return found


def test_the_reader_reads():
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


@pytest.mark.parametrize("name", sorted(set(MODULES) - ASIDE))
def test_nothing_imports_what_stands_aside(name):
    assert not imports(MODULES[name].read_text(encoding="utf-8")) & ASIDE


def test_errors_import_nothing_that_could_import_them():
    assert imports(MODULES["errors"].read_text(encoding="utf-8")) == {"_given"}
