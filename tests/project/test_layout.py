"""Hold the rules of the house by reading the sources: short files and functions, imports that run one way.

The exceptions are exact: one that is not needed fails, too. `python tests/project/layout.py` prints the layout.
"""

import pytest
from layout import (
    MOST_LINES,
    MOST_LINES_OF_A_FUNCTION,
    ROOT,
    circles_of,
    circles_of_crates,
    crates_of,
    dependencies_of,
    long_files,
    long_functions,
    table,
)
from rust_source import Crate

TO_BE_DIVIDED = "it holds more than one thing, and is to be divided"

LONG_FILES = {
    "python/duewheel/_core.pyi": "an extension module has one stub",
    "rust/binding/src/calls/scheduler.rs": "one class has one block of methods, with the contract of each",
    "rust/engine/src/due/level.rs": "a third of it are its tests, beside what they look into",
    "rust/engine/src/due/queue.rs": "the order of two clocks is one thing",
    "rust/engine/src/due/wheel.rs": "its moves share one invariant, which is read beside them",
    "rust/engine/tests/two_nodes.rs": TO_BE_DIVIDED,
}

LONG_FUNCTIONS = {
    "rust/engine/src/due/wheel/check.rs::check": "it is a list of what holds, each with its message",
}

CIRCLES = {(crate, frozenset(f"{name}.rs" for name in names.split())) for crate, names in []}

MAY_NEED = {
    "model": set(),
    "schedule": set(),
    "store": {"model"},
    "sqlite": {"model", "store"},
    "postgres": {"store"},
    "engine": {"model", "schedule", "store"},
    "binding": {"model", "schedule", "store", "sqlite", "postgres", "engine"},
}
"""What a crate may need outside its tests. A new crate takes its place here."""

of_the_sources = pytest.mark.skipif(not (ROOT / "Cargo.toml").exists(), reason="the sources are not here")


@pytest.fixture(scope="module")
def crates():
    return crates_of(ROOT)


def hold(found, allowed, rule):
    """Fail with what breaks the rule, or with exceptions that are not needed."""
    broken = [f"{what}: {said}" for what, said in found.items() if what not in allowed]
    needless = [str(what) for what in allowed if what not in found]
    assert not broken + needless, "\n  ".join(
        [f"{rule}. These break it:", *broken, "These are exceptions and need not be:", *needless]
    )


@of_the_sources
def test_files_are_short():
    found = {path: f"{lines} lines" for path, lines in long_files(ROOT).items()}
    hold(found, LONG_FILES, f"A file of Rust or Python has at most {MOST_LINES} lines: divide it by theme")


@of_the_sources
def test_functions_are_short(crates):
    found = {path: f"{lines} lines" for path, lines in long_functions(ROOT, crates).items()}
    hold(found, LONG_FUNCTIONS, f"A function has at most {MOST_LINES_OF_A_FUNCTION} lines, tests aside")


@of_the_sources
def test_no_files_of_a_crate_import_each_other_in_a_circle(crates):
    found = {
        (crate, files): f"{len(files)} files, of which {circles[0]}"
        for (crate, files), circles in circles_of_crates(crates).items()
    }
    hold(found, CIRCLES, "Imports within a crate run one way: move what is named to the file that needs less")


@of_the_sources
def test_every_file_is_of_its_crate_or_for_tests(crates):
    for crate in crates.values():
        for file in set(crate.src.rglob("*.rs")) - crate.lines.keys():
            is_for_tests = not crate.for_tests.isdisjoint([file.with_suffix(""), *file.parents])
            assert is_for_tests, f"{file.relative_to(ROOT)}: no module names it"


@of_the_sources
def test_crates_need_each_other_one_way():
    needs = dependencies_of(ROOT)
    assert needs.keys() == MAY_NEED.keys(), "MAY_NEED is the list of crates, each with those that it may need"
    for crate, needed in needs.items():
        assert needed <= MAY_NEED[crate], (
            f"rust/{crate} may need {MAY_NEED[crate] or 'none'}, not {needed - MAY_NEED[crate]}"
        )


@of_the_sources
def test_the_layout_is_printed():
    printed = list(table(ROOT))
    assert any(line.startswith("rust/binding ") for line in printed)


# The reader


@pytest.fixture
def crate(tmp_path):
    def read(**files):
        for name, text in files.items():
            path = tmp_path / f"{name.replace('__', '/')}.rs"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return Crate(tmp_path)

    return read


def named(crate):
    return {
        (one.relative_to(crate.src).as_posix(), other.relative_to(crate.src).as_posix()): names
        for (one, other), names in crate.names().items()
    }


def test_files_that_name_each_other_are_a_circle(crate):
    read = crate(
        lib="mod a; mod b; mod c;",
        a="use crate::b::B; pub struct A(B);",
        b="pub struct B; fn f() { super::c::g() }",
        c="use crate::{a::{self, A}, b}; pub fn g() { a::h(); let _: A; }",
    )
    files, (circle,) = circles_of(read.names()).popitem()
    assert {file.name for file in files} == {"a.rs", "b.rs", "c.rs"}
    assert len(circle) == 4 and circle[0] == circle[-1]


def test_a_name_that_is_passed_on_is_of_the_file_that_defines_it(crate):
    read = crate(
        lib="mod a; mod inner; pub use inner::Deep as Passed;",
        a="use crate::Passed; fn f(p: Passed) {}",
        inner__mod="mod deep; pub(crate) use deep::*;",
        inner__deep="pub struct Deep; impl Deep { fn f() { crate::a::f() } }",
    )
    assert named(read) == {("a.rs", "inner/deep.rs"): {"Passed"}, ("inner/deep.rs", "a.rs"): {"f"}}


def test_a_name_that_is_passed_on_and_used_is_named(crate):
    read = crate(lib="mod a; pub use a::A; struct Of(A);", a="pub struct A;")
    assert named(read) == {("lib.rs", "a.rs"): {"A"}}


@pytest.mark.parametrize(
    "aside",
    [
        "#[cfg(test)] mod tests { use super::*; fn f() { crate::b::B; } }",
        "#[cfg(all(test, unix))] fn f<A, B>(a: A, b: B) { crate::b::B; }",
        "struct A { x: u8, #[cfg(test)] y: crate::b::B }",
        "fn f() { #[cfg(test)] crate::b::g(); }",
        '#[cfg(feature = "testing")] pub use crate::b::B;',
        "// crate::b::B\n/* crate::b::B\n */",
        'const A: [&str; 2] = ["crate::b::B \\" crate::b::B", r#"crate::b::B"crate::b::B"#];',
    ],
)
def test_tests_comments_and_texts_name_nothing(crate, aside):
    assert named(crate(lib="mod a; mod b;", a=f"{aside} fn last() {{ crate::b::last() }}", b="pub struct B;")) == {
        ("a.rs", "b.rs"): {"last"}
    }


def test_files_for_tests_alone_are_not_read(crate):
    read = crate(lib="#[cfg(test)]\nmod a;\nmod b;\n", a="fn f() {}\n", b="#[cfg(test)]\nmod tests {\n}\nfn g() {}\n")
    assert {file.name: lines for file, lines in read.lines.items()} == {"lib.rs": 1, "b.rs": 1}
    assert [function.name for function in read.functions] == ["g"]


def test_a_function_is_as_long_as_from_its_name_to_its_last_brace(crate):
    read = crate(lib="trait T { fn none(); }\nfn f<'a>(\n    c: char,\n) -> char {\n    '{'\n}\n#[inline]\nfn g() {}\n")
    assert {function.name: function.lines for function in read.functions} == {"f": 5, "g": 1}
