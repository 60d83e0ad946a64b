"""Read the layout of the tree: `python tests/project/layout.py [ROOT]` prints it, `test_layout.py` holds the rules."""

import ast
import sys
import tomllib
from collections import deque
from itertools import pairwise
from pathlib import Path

from rust_source import Crate, Function

ROOT = Path(__file__).resolve().parents[2]
MOST_LINES = 500
MOST_LINES_OF_A_FUNCTION = 60
NOT_OURS = {".venv", ".git", "target", "dist", "__pycache__"}


def files_of(folder, *suffixes):
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_dir() and path.name not in NOT_OURS:
            yield from files_of(path, *suffixes)
        elif path.suffix in suffixes:
            yield path


def lines_of(path):
    return path.read_text("utf-8").count("\n")


def long_files(root):
    """The files of Rust and Python that are too long, tests too, with their lines."""
    lines = {path.relative_to(root).as_posix(): lines_of(path) for path in files_of(root, ".rs", ".py", ".pyi")}
    return {path: count for path, count in lines.items() if count > MOST_LINES}


def crates_of(root):
    """The crates of the workspace by the names of their folders."""
    return {manifest.parent.name: Crate(manifest.parent / "src") for manifest in sorted(root.glob("rust/*/Cargo.toml"))}


def functions_of_python(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Function(path, node.name, node.lineno, node.end_lineno - node.lineno + 1)


def long_functions(root, crates):
    """The functions that are too long, tests aside: `{file::name: lines}`."""
    functions = [function for crate in crates.values() for function in crate.functions]
    for path in files_of(root / "python", ".py"):
        functions += functions_of_python(path)
    return {
        f"{function.file.relative_to(root).as_posix()}::{function.name}": function.lines
        for function in functions
        if function.lines > MOST_LINES_OF_A_FUNCTION
    }


def dependencies_of(root):
    """Of each crate, those of the workspace that it needs outside tests; by the names of their folders."""
    manifests = {path: tomllib.loads(path.read_text("utf-8")) for path in sorted(root.glob("rust/*/Cargo.toml"))}
    folders = {manifest["package"]["name"]: path.parent.name for path, manifest in manifests.items()}
    found = {}
    for path, manifest in manifests.items():
        tables = [manifest, *manifest.get("target", {}).values()]
        named = {
            name for table in tables for kind in ("dependencies", "build-dependencies") for name in table.get(kind, ())
        }
        found[path.parent.name] = {folders[name] for name in named if name in folders}
    return found


def way(after, start, end):
    """A shortest way from one file to another, over what files name."""
    before, ahead = {start: None}, deque([start])
    while ahead and end not in before:
        file = ahead.popleft()
        for other in after.get(file, set()) - before.keys():
            before[other] = file
            ahead.append(other)
    path = [end] if end in before else []
    while path and path[-1] != start:
        path.append(before[path[-1]])
    return path[::-1]


def reached_from(after, start):
    found, ahead = set(), [start]
    while ahead:
        new = after.get(ahead.pop(), set()) - found
        found |= new
        ahead += new
    return found


def circles_of(edges):
    """The sets of files that all name each other, directly or through others; each with its circles, shortest first."""
    after = {}
    for one, other in edges:
        after.setdefault(one, set()).add(other)
    reached = {file: reached_from(after, file) for file in after}
    circles = {}
    for one, other in sorted(edges):
        if one in reached.get(other, ()):
            files = frozenset(file for file in reached[one] if one in reached.get(file, ()))
            circle = [one, *way(after, other, one)]
            circles.setdefault(files, {}).setdefault(frozenset(circle), circle)
    return {files: sorted(found.values(), key=len) for files, found in circles.items()}


def described(src, edges, circle):
    """A circle in a line: which file names what of the next."""
    steps = [circle[0].relative_to(src).as_posix()]
    for one, other in pairwise(circle):
        names = ", ".join(sorted(edges[one, other])[:3])
        steps.append(f"—{names}→ {other.relative_to(src).as_posix()}")
    return " ".join(steps)


def circles_of_crates(crates):
    """The circles of each crate: `{(crate, files): the shortest circles among them, a line each}`."""
    found = {}
    for name, crate in crates.items():
        edges = crate.names()
        for files, circles in circles_of(edges).items():
            names = frozenset(file.relative_to(crate.src).as_posix() for file in files)
            found[name, names] = [described(crate.src, edges, circle) for circle in circles]
    return found


def table(root):
    """The layout in lines of text."""
    crates = crates_of(root)
    counts = {f"rust/{name}": list(crate.lines.values()) for name, crate in crates.items()}
    counts["all of rust"] = rust = [lines for crate in crates.values() for lines in crate.lines.values()]
    counts["python/duewheel"] = list(map(lines_of, files_of(root / "python", ".py", ".pyi")))
    yield f"{'without tests':24}{'files':>8}{'lines':>8}"
    yield from (f"{name:24}{len(lines):8,}{sum(lines):8,}" for name, lines in counts.items())
    tests = sum(map(lines_of, files_of(root / "rust", ".rs", ".py"))) - sum(rust)
    yield f"lines of tests: {tests:,} below rust, {sum(map(lines_of, files_of(root / 'tests', '.py'))):,} below tests"
    for title, found in (
        (f"files over {MOST_LINES} lines, of tests too", long_files(root)),
        (f"functions over {MOST_LINES_OF_A_FUNCTION} lines, tests aside", long_functions(root, crates)),
    ):
        yield f"\n{title}: {len(found)}"
        yield from (f"  {lines:4}  {name}" for name, lines in sorted(found.items(), key=lambda item: -item[1]))
    circles = circles_of_crates(crates)
    yield f"\ncircles of files, tests aside: {len(circles)}"
    for (name, files), lines in circles.items():
        shortest = [line for line in lines if line.count("→") <= max(3, lines[0].count("→"))]
        yield "\n    ".join([f"  {name}: {len(files)} files: {', '.join(sorted(files))}", *shortest])
    yield "\ncrates that a crate needs"
    yield from (f"  {name}: {', '.join(sorted(needed)) or 'none'}" for name, needed in dependencies_of(root).items())


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in table(Path(sys.argv[1]).resolve() if sys.argv[1:] else ROOT))
