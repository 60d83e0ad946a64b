"""Modules that need a package say which extra brings it, and `import duewheel` imports none of them."""

import subprocess
import sys

import pytest

MISSING = {
    "duewheel.prometheus": ("prometheus_client", "duewheel[prometheus]"),
    "duewheel.otel": ("opentelemetry", "duewheel[otel]"),
    "duewheel.sentry": ("sentry_sdk", "duewheel[sentry]"),
    "duewheel.flask": ("flask", "flask"),
    "duewheel.pytest_plugin": ("pytest", "pytest"),
    "duewheel.django._backend": ("django", "django>=6.0"),
}


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("module", "package", "extra"), [(name, *needs) for name, needs in MISSING.items()])
def test_a_missing_package_is_named_with_its_extra(module, package, extra):
    ended = run(f"import sys; sys.modules[{package!r}] = None; import {module}")
    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: {module.replace('._backend', '.Backend')} needs {package}")
    assert f"pip install '{extra}'" in last


def test_the_package_itself_needs_none_of_them():
    packages = {package for package, _ in MISSING.values()} - {"pytest"}
    ended = run(f"import sys, duewheel, duewheel.logs, duewheel.django; print({packages!r} & sys.modules.keys())")
    assert (ended.stdout, ended.stderr) == ("set()\n", "")
