"""Install the built wheels into an empty environment of each CPython that is here, and run the tests there.

Run as a program it lists those CPythons, for ``make wheel``.
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.wheel, pytest.mark.timeout(3_600)]

ROOT = Path(__file__).parents[2]
VERSIONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]
WHAT_IT_IS = "import sys; print(sys.implementation.name, sys.version_info[:2], sep='', end='')"


def interpreter(version):
    """A CPython of that version, from the path or of pyenv; pyenv's shims answer for what is not there."""
    pyenv = Path("~/.pyenv/versions").expanduser()
    major, minor = version.split(".")
    found = [shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"))]
    for python in filter(None, [sys.executable, *found]):
        asked = subprocess.run([python, "-c", WHAT_IT_IS], capture_output=True, text=True, timeout=60, check=False)
        if asked.stdout == f"cpython({major}, {minor})":
            return str(python)
    return None


def run(*command, cwd, **env):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=clean | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=3_000,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def built_in(wheel):
    """The crates that the bill of materials of a wheel has, with their versions."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if ".dist-info/sboms/" in name)
        bill = json.loads(archive.read(name))
    assert bill["bomFormat"] == "CycloneDX"
    return {(crate["name"], crate["version"]) for crate in bill["components"]}


def test_a_wheel_has_a_bill_of_materials():
    wheels = sorted((ROOT / "dist").glob("duewheel-*.whl"))
    if not wheels:
        pytest.skip("no wheel in dist/: make wheel")
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text("utf-8"))["package"]
    for wheel in wheels:
        crates = built_in(wheel)
        assert {"pyo3", "rusqlite", "libsqlite3-sys", "tokio-postgres", "rustls"} <= {name for name, _ in crates}
        assert crates <= {(crate["name"], crate["version"]) for crate in locked}


def test_a_wheel_has_what_the_dashboard_is_made_of():
    wheels = sorted((ROOT / "dist").glob("duewheel-*.whl"))
    if not wheels:
        pytest.skip("no wheel in dist/: make wheel")
    package = ROOT / "python"
    wanted = {
        path.relative_to(package).as_posix()
        for kind in ("templates", "static")
        for path in (package / "duewheel" / "dashboard" / kind).iterdir()
    }
    assert {"duewheel/dashboard/templates/base.html", "duewheel/dashboard/static/htmx.min.js"} <= wanted
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            assert wanted <= set(archive.namelist()), wheel


@pytest.mark.parametrize("version", VERSIONS)
def test_wheel(version, tmp_path):
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no CPython {version} here")
    tag = "cp" + version.replace(".", "")
    wheels = sorted((ROOT / "dist").glob(f"duewheel-*-{tag}-{tag}-*.whl"))
    if not wheels:
        pytest.skip(f"no wheel for CPython {version} in dist/: make wheel")
    venv = tmp_path / "venv"
    run(python, "-m", "venv", venv, cwd=tmp_path)
    inside = venv / ("Scripts" if os.name == "nt" else "bin") / "python"

    # The wheel alone, with nothing else installed and no package index asked.
    run(inside, "-m", "pip", "install", "--quiet", "--no-index", wheels[-1], cwd=tmp_path)
    where = run(inside, "-c", "import duewheel; print(duewheel.__file__)", cwd=tmp_path)
    assert str(venv) in where
    assert run(inside.with_name("duewheel"), "--version", cwd=tmp_path).startswith("duewheel ")

    # Its tests and what they read, away from the sources.
    for name in ("pyproject.toml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "Makefile"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("tests", "docs", "examples", *(path.relative_to(ROOT) for path in ROOT.glob("rust/*/tests"))):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    run(inside, "-m", "pip", "install", "--quiet", "--upgrade", "pip>=25.1", cwd=tmp_path)
    run(inside, "-m", "pip", "install", "--quiet", "--group", "test", cwd=tmp_path)
    for what in ([], ["-m", "slow", "tests/process/test_process.py"]):
        out = run(inside, "-m", "pytest", "-q", "-p", "no:cacheprovider", *what, cwd=tmp_path)
        assert " passed" in out


if __name__ == "__main__":
    sys.stdout.writelines(f"{python}\n" for python in map(interpreter, VERSIONS) if python)
