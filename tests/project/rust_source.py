"""Read Rust sources as far as the layout needs it: lines, functions, modules, and which file names what of which.

No compiler: macros are not expanded, and what is called on a value (`value.method()`) names no file. What is compiled
for tests alone, by `#[cfg(test)]` or the feature `testing`, is left out.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

TOKEN = re.compile(
    r"""
    (?P<comment>//[^\n]*|/\*.*?\*/)
    |(?P<string>[bc]?r(?P<hashes>\#*)".*?"(?P=hashes)|[bc]?"(?:\\.|[^"\\])*"|b?'(?:\\[^']+|\\'|[^'\\\n])')
    |(?P<lifetime>'\w+)
    |(?P<word>(?:r\#)?\w+)
    |(?P<mark>::|->|=>|\S)
    """,
    re.VERBOSE | re.DOTALL,
)
OPENS, CLOSES = "{([", "})]"
TO_SEMICOLON = {"use", "const", "static", "type", "let"}
ITEMS = {"fn", "struct", "enum", "union", "trait", "type", "const", "static"}
BEFORE_AN_ITEM = {"pub", "crate", "unsafe", "async", "extern", "default", "in", "super", "(", ")"}


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Function:
    file: Path
    name: str
    line: int
    lines: int


@dataclass(slots=True)
class Module:
    """What a module's names are: `(item,)`, `(module, its path)` or `(use, the path that it stands for)`."""

    file: Path
    path: tuple[str, ...]
    names: dict[str, tuple] = field(default_factory=dict)
    globs: list[tuple[str, ...]] = field(default_factory=list)
    uses: list[tuple[str, tuple[str, ...], bool]] = field(default_factory=list)
    paths: set[tuple[str, ...]] = field(default_factory=set)
    words: set[str] = field(default_factory=set)


def tokens_of(text):
    """All tokens but comments."""
    line, at = 1, 0
    for found in TOKEN.finditer(text):
        line += text.count("\n", at, found.start())
        at = found.start()
        if found.lastgroup != "comment" and found["comment"] is None:
            kind = next(kind for kind in ("string", "lifetime", "word", "mark") if found[kind] is not None)
            yield Token(kind, found[0], line)


def end_of_group(tokens, at):
    """The index after the bracket that closes the one at `at`."""
    depth = 0
    for index in range(at, len(tokens)):
        depth += (tokens[index].text in OPENS) - (tokens[index].text in CLOSES) if tokens[index].kind == "mark" else 0
        if depth == 0:
            return index + 1
    return len(tokens)


def end_of_item(tokens, at):
    """The index after the item, statement or field that begins at `at`."""
    while tokens[at].text == "#":
        at = end_of_group(tokens, at + 1)
    first = at
    while tokens[first].text in BEFORE_AN_ITEM:
        first += 1
    word = tokens[first].text
    is_item = word in ITEMS or word in {"use", "let", "mod", "impl", "macro_rules"}
    to_semicolon = word in TO_SEMICOLON and tokens[first + 1].text != "fn"
    while at < len(tokens):
        text = tokens[at].text if tokens[at].kind == "mark" else ""
        if text and text in CLOSES:
            return at
        if text == ";" or (text == "," and not is_item):
            return at + 1
        if text and text in OPENS:
            at = end_of_group(tokens, at)
            if text == "{" and not to_semicolon:
                return at
        else:
            at += 1
    return at


def is_for_tests(attribute):
    """Whether `cfg(…)` holds in tests alone."""
    texts = [token.text for token in attribute]
    if texts[2:3] != ["cfg"] or "not" in texts:
        return False
    return "test" in texts or '"testing"' in texts


def without_tests(tokens):
    """The tokens that are compiled without tests; how many lines the others take, and the files' modules among them."""
    kept, lines, modules, at = [], 0, set(), 0
    while at < len(tokens):
        if tokens[at].text == "#" and at + 1 < len(tokens) and tokens[at + 1].text == "[":
            body = end_of_group(tokens, at + 1)
            if is_for_tests(tokens[at:body]):
                end = end_of_item(tokens, body)
                lines += tokens[end - 1].line - tokens[at].line + 1
                item = [token.text for token in tokens[body:end]]
                if item[-1] == ";" and "mod" in item:
                    modules.add(item[item.index("mod") + 1])
                at = end
                continue
        kept.append(tokens[at])
        at += 1
    return kept, lines, modules


def functions_of(file, tokens):
    for at, token in enumerate(tokens):
        if token.text != "fn" or tokens[at + 1].kind != "word":
            continue
        body = at + 2
        while tokens[body].text not in ("{", ";"):
            body = end_of_group(tokens, body) if tokens[body].text in OPENS else body + 1
        if tokens[body].text == "{":
            last = tokens[end_of_group(tokens, body) - 1].line
            yield Function(file, tokens[at + 1].text, token.line, last - token.line + 1)


def leaves_of(tokens, at, prefix):
    """The paths of a `use` tree that begins at `at`, each with the name that it is given; and the index after it."""
    path, found = prefix, []
    while True:
        text = tokens[at].text
        if text == "{":
            at += 1
            while tokens[at].text != "}":
                inner, at = leaves_of(tokens, at, path)
                found += inner
                at += tokens[at].text == ","
            return found, at + 1
        if text != "self" or not prefix or path != prefix:  # `{self, …}` is the module itself
            path = (*path, text)
        at += 1
        if tokens[at].text == "::":
            at += 1
            continue
        name = path[-1]
        if tokens[at].text == "as":
            name = tokens[at + 1].text
            at += 2
        return [(name, path)], at


class Reader:
    """Reads the modules of one file into `modules`."""

    def __init__(self, modules, file, path, tokens):
        self.modules, self.file, self.tokens = modules, file, tokens
        self.children = []
        self.at = 0
        self.read(path)

    def read(self, path):
        """Read a module up to the bracket that closes it."""
        module = self.modules[path] = Module(self.file, path)
        depth = 0
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            if token.kind == "mark":
                depth += (token.text in OPENS) - (token.text in CLOSES)
            if depth < 0:
                return
            if token.kind != "word":
                self.at += 1
            elif token.text == "use":
                self.read_use(module)
            elif token.text == "mod" and self.tokens[self.at + 2].text in ";{":
                self.read_module(module)
            else:
                self.read_word(module, depth)

    def read_use(self, module):
        before = [token.text for token in self.tokens[max(self.at - 4, 0) : self.at]]
        is_public = before[-1:] == ["pub"] or (before[:2] == ["pub", "("] and before[-1] == ")")
        self.at += 1 + (self.tokens[self.at + 1].text == "::")
        found, self.at = leaves_of(self.tokens, self.at, ())
        for name, path in found:
            if name == "*":
                module.globs.append(path[:-1])
            else:
                module.names.setdefault(name, ("use", path))
                module.uses.append((name, path, is_public))

    def read_module(self, module):
        name = self.tokens[self.at + 1].text
        is_inline = self.tokens[self.at + 2].text == "{"
        module.names[name] = ("module", (*module.path, name))
        self.at += 3
        if is_inline:
            self.read((*module.path, name))
            self.at += 1
        else:
            self.children.append((*module.path, name))

    def read_word(self, module, depth):
        texts = [token.text for token in self.tokens[self.at : self.at + 3]]
        if depth == 0 and texts[0] in ITEMS and self.tokens[self.at + 1].kind == "word":
            name = texts[2] if texts[1] == "mut" else texts[1]
            module.names.setdefault(name, ("item",))
        elif texts[:2] == ["macro_rules", "!"]:
            module.names.setdefault(texts[2], ("item",))
        path = [texts[0]]
        follows = self.at > 0 and self.tokens[self.at - 1].text in ("::", ".")
        self.at += 1
        while self.tokens[self.at].text == "::" and self.tokens[self.at + 1].kind == "word":
            path.append(self.tokens[self.at + 1].text)
            self.at += 2
        if not follows:
            module.words.add(path[0])
            if len(path) > 1:
                module.paths.add(tuple(path))


class Crate:
    """The sources of a crate below `src`."""

    def __init__(self, src):
        self.src = src
        self.modules = {}
        self.functions = []
        self.for_tests = set()
        """The modules for tests alone: `tests` for `tests.rs` and for all below `tests`."""
        self.lines = {}
        """Of each file that is compiled without tests: its lines without those for tests."""
        root = src / "lib.rs" if (src / "lib.rs").exists() else src / "main.rs"
        self.read(root, (), src)

    def read(self, file, path, folder):
        text = file.read_text("utf-8")
        tokens, lines, for_tests = without_tests(list(tokens_of(text)))
        self.lines[file] = text.count("\n") - lines
        self.for_tests |= {folder / name for name in for_tests}
        self.functions += functions_of(file, tokens)
        for child in Reader(self.modules, file, path, tokens).children:
            beside = folder.joinpath(*child[len(path) :])
            found = beside.with_suffix(".rs")
            self.read(found if found.exists() else beside / "mod.rs", child, beside)

    def resolve(self, module, path, seen=frozenset()):
        """The file that defines what `path` names, a module, or `None` for what is of another crate."""
        head, rest = path[0], path[1:]
        if head == "crate":
            return self.walk(self.modules[()], rest, seen)
        if head == "self":
            return self.walk(module, rest, seen)
        if head == "super":
            return self.walk(self.modules[module.path[:-1]], rest, seen)
        return self.walk(module, path, seen, is_head=True)

    def walk(self, module, path, seen, *, is_head=False):
        while path and path[0] == "super":
            module, path = self.modules[module.path[:-1]], path[1:]
        if not path:
            return module
        if (module.path, path[0]) in seen:
            return None
        seen = seen | {(module.path, path[0])}
        kind, *what = module.names.get(path[0], ("unknown",))
        if kind == "item":
            return module.file
        if kind == "module":
            return self.walk(self.modules[what[0]], path[1:], seen) if what[0] in self.modules else None
        if kind == "use":
            return self.follow(self.resolve(module, what[0], seen), path[1:], seen)
        for glob in module.globs:
            inside = self.resolve(module, glob, seen)
            if isinstance(inside, Module):
                found = self.walk(inside, path, seen, is_head=True)
                if found is not None:
                    return found
        return None if is_head else module.file  # made by a macro

    def follow(self, found, rest, seen):
        return self.walk(found, rest, seen) if isinstance(found, Module) else found

    def names(self):
        """Which file names what of which other: `{(file, other): {name, …}}`. A `pub use` alone is no use."""
        edges = {}
        for module in self.modules.values():
            named = set(module.paths)
            named |= {path for name, path, is_public in module.uses if not is_public or name in module.words}
            for glob in module.globs:
                inside = self.resolve(module, glob)
                if isinstance(inside, Module):
                    named |= {(*glob, name) for name in module.words & inside.names.keys()}
            for path in named:
                other = self.resolve(module, path)
                if isinstance(other, Path) and other != module.file:
                    edges.setdefault((module.file, other), set()).add(path[-1])
        return edges
