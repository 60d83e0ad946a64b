"""The pages of the reference, read from the stub and the docstrings of `python/duewheel` without importing it.

`pages()` has them as Markdown. A class is shown with what it inherits from classes of this package; what the extension
defines is read from `_core.pyi`, whose text a test holds equal to that of the extension.
"""

import ast
import functools
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "python" / "duewheel"
Function = ast.FunctionDef | ast.AsyncFunctionDef
Alias = tuple[str, str]
Shown = frozenset[Alias] | set[Alias]

# Where a name of `duewheel` itself is shown; an error goes to the errors, and what is named nowhere to the last page.
GROUPS = {
    "scheduler": (
        "Scheduler",
        "The calls of a scheduler, and the functions that speak of the current one.",
        "Scheduler NopScheduler Handler Timer connect at in_ repeat use current_scheduler current_event",
    ),
    "jobs": (
        "Jobs and events",
        "What a job is, how it is retried, what its handler is given, and what is left of it.",
        "Job Event DeadEvent JobOptions Consistency UNSET DEFAULT_RETRY_LIMIT DEFAULT_MIN_BACKOFF DEFAULT_MAX_BACKOFF "
        "Snooze Discard Running Outcome",
    ),
    "schedules": (
        "Schedules and repeats",
        "When jobs come that come again.",
        "Every Cron Times Days RRule Schedule Repeat",
    ),
    "storage": (
        "Storage",
        "Where jobs are kept.",
        "LocalStorage PostgresStorage Keyring Storage",
    ),
    "errors": ("Errors", "What calls raise; each says what was wrong, and what to do.", ""),
    "more": (
        "Targets, numbers, configuration",
        "Limits of targets, what schedulers count, and schedulers by configuration.",
        "Rate Limit Stats TargetStats Lateness Config",
    ),
}
LAST_GROUP = "more"
WIDE = 96
FOR_DJANGO = {"apps", "management"}  # modules that Django looks for by name
NO_BASES = {"object", "Generic", "Protocol"}


@dataclass
class Module:
    """A module of the package: what its names stand for."""

    name: str
    tree: ast.Module
    nodes: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, Alias] = field(default_factory=dict)

    @property
    def exported(self) -> list[str]:
        """The public names, in the order of `__all__`, or of the source without one."""
        for node in self.nodes.get("__all__", ()):
            if isinstance(node, ast.Assign):
                return list(ast.literal_eval(node.value))
        return [
            name
            for name, nodes in self.nodes.items()
            if name[0] != "_" and isinstance(nodes[0], ast.ClassDef | Function)
        ]


@dataclass(frozen=True)
class Found:
    """What a name stands for, and the module that says so."""

    module: Module
    name: str
    nodes: list[ast.stmt]

    @property
    def key(self) -> Alias:
        """The module and the name: the same, whatever it was imported as."""
        return self.module.name, self.name


def module_names() -> list[str]:
    """Return the names of the public modules, that of the package first."""
    names = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if not any(part.startswith("_") or part in FOR_DJANGO for part in parts):
            names.append(".".join(("duewheel", *parts)))
    return sorted(names)


def path_of(name: str) -> Path | None:
    base = PACKAGE.joinpath(*name.split(".")[1:])
    candidates = (base.with_suffix(".pyi"), base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


@functools.cache
def load(name: str) -> Module | None:
    """Read a module of the package; `None`: there is none of this name."""
    path = path_of(name)
    if path is None:
        return None
    module = Module(name, ast.parse(path.read_text("utf-8")))
    for node in statements(module.tree.body):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "duewheel":
            for alias in node.names:
                module.imports.setdefault(alias.asname or alias.name, (node.module, alias.name))
        elif isinstance(node, ast.ClassDef | Function):
            module.nodes.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    module.nodes.setdefault(target.id, []).append(node)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            module.nodes.setdefault(node.target.id, []).append(node)
    return module


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, those below an `if` too."""
    for node in body:
        if isinstance(node, ast.If):
            yield from statements(node.body)
        else:
            yield node


def find(module: Module, name: str) -> Found | None:
    """Follow imports to what a name stands for; `None`: it is no name of this package."""
    while name not in module.nodes:
        if name not in module.imports:
            return None
        origin, name = module.imports[name]
        next_module = load(origin)
        if next_module is None or load(f"{origin}.{name}") is not None:
            return None
        module = next_module
    return Found(module, name, module.nodes[name])


def bases_of(found: Found) -> Iterator[tuple[str, Found | None]]:
    """The bases of a class as they are written, and what those of this package stand for."""
    node = found.nodes[-1]
    for base in node.bases if isinstance(node, ast.ClassDef) else ():
        name = base.value if isinstance(base, ast.Subscript) else base
        if isinstance(name, ast.Attribute) and isinstance(name.value, ast.Name):
            origin = load(f"duewheel.{name.value.id}")
            yield name.attr, find(origin, name.attr) if origin else None
        elif isinstance(name, ast.Name):
            yield name.id, find(found.module, name.id)


def lineage(found: Found, shown: Shown = frozenset()) -> Iterator[tuple[Module, ast.ClassDef]]:
    """A class and those that it inherits from, the nearest first, but for those that have a section of their own."""
    node = found.nodes[-1]
    if not isinstance(node, ast.ClassDef):
        return
    yield found.module, node
    for _, parent in bases_of(found):
        if parent is not None and parent.key not in shown:
            yield from lineage(parent, shown)


def is_named(decorators: list[ast.expr], *names: str) -> bool:
    return any(ast.unparse(decorator).rpartition(".")[2] in names for decorator in decorators)


@dataclass
class Member:
    """A member of a class, as the nearest class that has it says."""

    module: Module
    nodes: list[ast.stmt]
    doc: str = ""


def members(found: Found, shown: Shown) -> dict[str, Member]:
    """The public members of a class by name; what has no docstring of its own has that of a base."""
    members: dict[str, Member] = {}
    for module, node in lineage(found, shown):
        own: dict[str, Member] = {}
        for at, part in enumerate(node.body):
            name = getattr(part, "name", "") if isinstance(part, Function) else ""
            if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                name = part.target.id
            if not name or (name.startswith("_") and name not in ("__init__", "__new__")):
                continue
            member = own.setdefault(name, Member(module, []))
            member.nodes.append(part)
            following = node.body[at + 1] if at + 1 < len(node.body) else None
            member.doc = member.doc or doc_of(part, following)
        for name, member in own.items():
            if name in members:
                members[name].doc = members[name].doc or member.doc
            else:
                members[name] = member
    return members


def doc_of(node: ast.stmt, following: ast.stmt | None = None) -> str:
    if isinstance(node, ast.ClassDef | Function):
        return ast.get_docstring(node) or ""
    if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
        return inspect.cleandoc(str(following.value.value))
    return ""


class Readable(ast.NodeTransformer):
    """Writes out the private names of types."""

    def __init__(self, module: Module) -> None:
        self.module = module

    def visit_Name(self, node: ast.Name) -> ast.AST:
        found = find(self.module, node.id) if node.id.startswith("_") else None
        said = found.nodes[0] if found else None
        if isinstance(said, ast.AnnAssign) and said.value is not None:
            return Readable(found.module).visit(ast.parse(ast.unparse(said.value), mode="eval").body)
        return ast.Name(node.id.removeprefix("_"))  # a type variable, or a class that stands for a protocol

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        is_module = isinstance(node.value, ast.Name) and node.value.id.startswith("_") and node.value.id[1:].islower()
        return ast.Name(node.attr) if is_module else self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str) and re.fullmatch(r"[\w .|\[\],]+", node.value) and "_" in node.value:
            return self.visit(ast.parse(node.value, mode="eval").body)
        return node


def shown_type(module: Module, annotation: ast.expr | None) -> str:
    if annotation is None:
        return ""
    copy = ast.parse(ast.unparse(annotation), mode="eval").body
    return ast.unparse(Readable(module).visit(copy))


def keys_of(module: Module, annotation: ast.expr | None) -> tuple[str, list[str]]:
    """The names of the keywords that `Unpack[…]` stands for."""
    match = re.search(r"Unpack\[(\w+)\]", ast.unparse(annotation)) if annotation else None
    found = find(module, match[1]) if match else None
    if not found:
        return "", []
    keys = [
        part.target.id
        for _, node in lineage(found)
        for part in node.body
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)
    ]
    return found.name, sorted(set(keys), key=keys.index)


def signature(module: Module, node: Function, name: str, bound: bool) -> tuple[str, str]:
    """The signature as code, and a line about its further keywords."""
    arguments, parts, extra = node.args, [], ""
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)

    def one(argument: ast.arg, default: ast.expr | None, mark: str = "") -> str:
        kind = shown_type(module, argument.annotation)
        text = f"{mark}{argument.arg}" + (f": {kind}" if kind else "")
        if default is None:
            return text
        said = "..." if ast.unparse(default).startswith("_") else ast.unparse(default)
        return f"{text} = {said}" if kind else f"{text}={said}"

    for at, (argument, default) in enumerate(zip(positional, defaults, strict=True)):
        if not (bound and at == 0):
            parts.append(one(argument, default))
        if arguments.posonlyargs and at == len(arguments.posonlyargs) - 1 and parts:
            parts.append("/")
    if arguments.vararg:
        parts.append(one(arguments.vararg, None, "*"))
    elif arguments.kwonlyargs:
        parts.append("*")
    parts += [
        one(argument, default) for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    if arguments.kwarg:
        _, keys = keys_of(module, arguments.kwarg.annotation)
        if keys:
            parts.append(f"**{arguments.kwarg.arg}")
            extra = f"`**{arguments.kwarg.arg}`: " + ", ".join(f"`{key}`" for key in keys) + "."
        else:
            parts.append(one(arguments.kwarg, None, "**"))
    returns = shown_type(module, node.returns)
    end = f" -> {returns}" if returns and name[0].islower() else ""
    word = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    line = f"{word}{name}({', '.join(parts)}){end}"
    if len(line) > WIDE:
        line = f"{word}{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){end}"
    return line, extra


def as_markdown(doc: str) -> str:
    """A docstring as Markdown: its examples as blocks, its labelled lines as paragraphs."""
    text = re.sub(r"(?<!\n)\n(?=\*\*[A-Z][a-z]+\*\*)", "\n\n", doc)
    lines: list[str] = []
    inside = False
    for line in text.splitlines():
        if line.startswith(">>> ") and not inside:
            lines += ["```pycon", line]
            inside = True
        elif inside and not line.strip():
            lines += ["```", ""]
            inside = False
        else:
            lines.append(line)
    return "\n".join([*lines, "```"] if inside else lines)


def in_cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def call(found_or_member: Found | Member, name: str, heading: str, level: int, bound: bool) -> Iterator[str]:
    """The section of a function or method."""
    nodes = [node for node in found_or_member.nodes if isinstance(node, Function)]
    overloads = [node for node in nodes if is_named(node.decorator_list, "overload")]
    doc = next((text for text in map(doc_of, nodes) if text), "")
    if isinstance(found_or_member, Member):
        doc = found_or_member.doc
    module = found_or_member.module
    static = is_named(nodes[0].decorator_list, "staticmethod")
    shown = [signature(module, node, name, bound and not static) for node in overloads or nodes[-1:]]
    yield f"{'#' * level} {heading} {{ #{heading} }}\n"
    yield "```python\n" + "\n".join(line for line, _ in shown) + "\n```\n"
    yield from (extra + "\n" for _, extra in shown[:1] if extra)
    yield as_markdown(doc) + "\n"


def klass(found: Found, name: str, shown: Shown) -> Iterator[str]:
    """The section of a class, with its attributes and methods."""
    own = members(found, shown)
    node = found.nodes[-1]
    makers = [maker for maker in (own.pop("__new__", None), own.pop("__init__", None)) if maker]
    maker = next((maker for maker in makers if "_arguments" not in ast.unparse(maker.nodes[-1])), None)
    yield f"## {name} {{ #{name} }}\n"
    if maker and isinstance(maker.nodes[-1], Function):
        line, extra = signature(maker.module, maker.nodes[-1], name, bound=True)
        yield f"```python\n{line}\n```\n"
        if extra:
            yield extra + "\n"
    yield as_markdown(doc_of(node)) + "\n"
    bases = [base for base, parent in bases_of(found) if parent is None or parent.key in shown]
    bases = [base for base in bases if base not in NO_BASES and not base.startswith("_")]
    if bases:
        yield "Bases: " + ", ".join(f"`{base}`" for base in bases) + ".\n"
    attributes = {key: member for key, member in own.items() if is_attribute(member)}
    if attributes:
        yield "| attribute | type | |\n| --- | --- | --- |"
        for key, member in attributes.items():
            part = member.nodes[0]
            kind = part.returns if isinstance(part, Function) else part.annotation
            said = in_cell(shown_type(member.module, kind))
            yield f"| `{key}` | {f'`{said}`' if said else ''} | {in_cell(member.doc)} |"
        yield ""
    for key, member in own.items():
        if key not in attributes:
            yield from call(member, key, f"{name}.{key}", 3, bound=True)


def is_attribute(member: Member) -> bool:
    node = member.nodes[0]
    return not isinstance(node, Function) or is_named(node.decorator_list, "property", "cached_property")


def entry(found: Found, name: str, shown: Shown) -> Iterator[str]:
    """The section of a public name."""
    node = found.nodes[-1]
    if isinstance(node, ast.ClassDef):
        yield from klass(found, name, shown)
    elif isinstance(node, Function):
        yield from call(found, name, name, 2, bound=False)
    else:
        body = found.module.tree.body
        after = body.index(node) + 1 if node in body else len(body)
        doc = doc_of(node, body[after] if after < len(body) else None)
        yield f"## {name} {{ #{name} }}\n\n```python\n{ast.unparse(node)}\n```\n"
        yield as_markdown(doc) + "\n"


def group_of(name: str) -> str:
    for group, (_, _, names) in GROUPS.items():
        if name in names.split():
            return group
    return "errors" if name.endswith("Error") else LAST_GROUP


def order_in(group: str, name: str) -> tuple[int, str]:
    names = GROUPS[group][2].split()
    return (names.index(name) if name in names else len(names), name)


def linked(texts: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """The same pages, in which the names of classes and of their calls lead to their sections."""
    places: dict[str, str] = {}
    for file, (_, text) in texts.items():
        for name in re.findall(r"^#+ .* \{ #([A-Z][\w.]*) \}$", text, re.MULTILINE):
            places.setdefault(name, f"{file.rpartition('/')[2]}#{name}")

    def link(match: re.Match[str]) -> str:
        place = places.get(match[1].removeprefix("duewheel."))
        return f"[{match[0]}]({place})" if place else match[0]

    pieces = re.compile(r"(^```.*?^```$|^#.*?$|^\|.*?$)", re.MULTILINE | re.DOTALL)

    def with_links(text: str) -> str:
        parts = enumerate(pieces.split(text))
        return "".join(part if at % 2 else re.sub(r"`([\w.]+)`", link, part) for at, part in parts)

    return {file: (title, with_links(text)) for file, (title, text) in texts.items()}


def pages() -> dict[str, tuple[str, str]]:
    """Return `{file: (title, text)}` of all pages of the reference, in the order in which they are to be read."""
    package = load("duewheel")
    assert package is not None
    shown: set[tuple[str, str]] = set()
    groups: dict[str, dict[str, Found]] = {group: {} for group in GROUPS}
    for name in package.exported:
        found = find(package, name)
        if found is not None:
            groups[group_of(name)][name] = found
            shown.add(found.key)
    texts = {}
    for group, names in groups.items():
        title, about, _ = GROUPS[group]
        parts = [f"# {title}\n\n{about} All are names of `duewheel`.\n"]
        for name in sorted(names, key=functools.partial(order_in, group)):
            parts += entry(names[name], name, shown)
        texts[f"reference/{group}.md"] = (title, "\n".join(parts))
    for module_name in module_names()[1:]:
        module = load(module_name)
        assert module is not None
        own = {name: found for name in module.exported if (found := find(module, name))}
        own = {name: found for name, found in own.items() if found.key not in shown}
        if own:
            parts = [f"# {module_name}\n", as_markdown(ast.get_docstring(module.tree) or "") + "\n"]
            for name, found in own.items():
                parts += entry(found, name, shown)
            texts[f"reference/{module_name}.md"] = (module_name, "\n".join(parts))
    return linked(texts)
