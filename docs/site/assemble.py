"""Build the site: `python docs/site/assemble.py`, which `make docs` does. It is in target/docs/site then.

The pages are those of `docs/`, which are read on GitHub as well: so their links are to files of the repository, and are
turned here to where the site has these. README, the changelog, the examples and the reference become pages, too.
"""

import posixpath
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import reference

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
OUT = ROOT / "target" / "docs"
FROM_THE_TOP = {
    "README.md": "readme.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
LINK = re.compile(r"(\]\(|\b(?:src|srcset|href)=\")([^)\"\s]+)(\)|\")")
NOT_CODE = re.compile(r"(^```.*?^```$|`[^`\n]*`)", re.MULTILINE | re.DOTALL)


class DeadLinkError(Exception):
    """A page links to what the site does not have."""


def sources() -> dict[str, str]:
    """Return which file of the repository becomes which of the site, both from their tops."""
    found = dict(FROM_THE_TOP)
    for path in sorted(DOCS.rglob("*")):
        inside = path.relative_to(DOCS)
        if (
            path.is_file()
            and inside.parts[0] != "site"
            and path.suffix in {".md", ".svg", ".png", ".json", ".yml", ".yaml"}
        ):
            found[f"docs/{inside.as_posix()}"] = inside.as_posix()
    for path in sorted(ROOT.glob("examples/*.py")):
        found[f"examples/{path.name}"] = f"examples/{path.stem}.md"
    return found


def turned(text: str, source: str, places: dict[str, str]) -> str:
    """The text of a page with its links turned to files of the site."""

    def turn(match: re.Match[str]) -> str:
        link = match[2]
        path, mark, anchor = link.partition("#")
        if not path or re.match(r"[a-z]+:", path):
            return match[0]
        there = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if there not in places:
            raise DeadLinkError(f"{source}: {link}")
        here = posixpath.dirname(places[source])
        return match[1] + posixpath.relpath(places[there], here or ".") + mark + anchor + match[3]

    return "".join(part if at % 2 else LINK.sub(turn, part) for at, part in enumerate(NOT_CODE.split(text)))


def example(path: Path) -> str:
    """A program as a page."""
    return f"# {path.relative_to(ROOT).as_posix()}\n\n```python\n{path.read_text('utf-8')}```\n"


def configuration() -> str:
    """Return the configuration, with what is made here in the navigation: the reference of names, and the examples."""
    text = (DOCS / "zensical.toml").read_text("utf-8")
    mark = '    { "Changelog" ='
    if mark not in text:
        raise ValueError("docs/zensical.toml names no changelog, before which the reference of names goes")
    names = {file: title for file, (title, _) in reference.pages().items()}
    programs = {place: source for source, place in sources().items() if source.endswith(".py")}
    lines = ""
    for section, found in (("Names", names), ("Programs", programs)):
        items = ", ".join(f'{{ "{title}" = "{file}" }}' for file, title in found.items())
        lines += f'    {{ "{section}" = [{items}] }},\n'
    return text.replace(mark, lines + mark)


def navigation(nav: list[dict]) -> list[tuple[int, str, str | None]]:
    """Return `(depth, title, page)` of all entries; a page that is `None` is a heading."""
    found = []
    for entry in nav:
        for title, inside in entry.items():
            if isinstance(inside, str):
                found.append((0, title, inside))
            else:
                found += [(0, title, None), *((depth + 1, name, page) for depth, name, page in navigation(inside))]
    return found


def first_sentence(text: str) -> str:
    """What a page is about: the first sentence below its title."""
    for block in re.sub(r"```.*?```", "", text, flags=re.DOTALL).split("\n\n")[1:]:
        line = re.sub(r"\s+", " ", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", block)).strip()
        if line and not line.startswith(("|", "#", "!", "-", "{")):
            return re.split(r"(?<=[.?!]) ", line)[0]
    return ""


def llms(texts: dict[str, str]) -> str:
    """Return `llms.txt`: what the site has for programs that read Markdown."""
    config = tomllib.loads(configuration())["project"]
    lines = [f"# {config['site_name']}", "", f"> {config['site_description']}.", ""]
    lines += ["Each page is here as Markdown, too. All in one file: [llms-full.txt](llms-full.txt).", ""]
    section = ""
    for depth, title, page in navigation(config["nav"]):
        if depth == 0 and page is None:
            section = title
            lines += ["", f"## {section}", ""]
        elif page is not None:
            about = first_sentence(texts[page])
            lines.append(f"- [{title}]({page})" + (f": {about}" if about else ""))
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """Return the pages of the site, as Markdown."""
    places = sources()
    texts = {}
    for source, place in places.items():
        path = ROOT / source
        if path.suffix == ".py":
            texts[place] = example(path)
        elif path.suffix == ".md" and path.exists():
            texts[place] = turned(path.read_text("utf-8"), source, places)
    return texts | {file: text for file, (_, text) in reference.pages().items()}


def assemble(out: Path = OUT) -> dict[str, str]:
    """Write what Zensical reads into a folder, and return the pages."""
    shutil.rmtree(out, ignore_errors=True)
    texts = pages()
    for file, text in texts.items():
        path = out / "pages" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    for source, place in sources().items():
        if place not in texts:
            path = out / "pages" / place
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / source, path)
    (out / "zensical.toml").write_text(configuration(), "utf-8")
    return texts


def build(out: Path = OUT) -> Path:
    """Build the site in a folder, and return where it is."""
    texts = assemble(out)
    subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "-f", str(out / "zensical.toml")], check=True, cwd=out
    )
    site = out / "site"
    for file, text in texts.items():
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        (site / file).write_text(text, "utf-8")
    (site / "llms.txt").write_text(llms(texts), "utf-8")
    (site / "llms-full.txt").write_text("\n\n".join(texts.values()), "utf-8")
    return site


if __name__ == "__main__":
    sys.stdout.write(f"{build()}\n")
