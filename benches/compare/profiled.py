"""What profiles a row of the comparison: an extension that names its functions, and the row between its clock's readings."""

import importlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import workload

CHECKOUT = Path(__file__).resolve().parents[2]


def build(kind: str, flags: str = "") -> Path:
    """Build the extension as it is released, but not stripped, below target/profiled; where the package is to be imported from.

    Args:
        kind: Whose build it is: each has a folder of its own.
        flags: What rustc is given besides.
    """
    target = CHECKOUT / "target" / "profiled" / kind
    environment = {
        **os.environ,
        "CARGO_TARGET_DIR": str(target),
        "PYO3_PYTHON": sys.executable,
        "RUSTFLAGS": f"{os.environ.get('RUSTFLAGS', '')} {flags}".strip(),
    }
    command = ["cargo", "build", "--release", "--quiet", "--package", "duewheel-binding"]
    subprocess.run(command, cwd=CHECKOUT, env=environment, check=True)
    path = target / str(sys.implementation.cache_tag)
    package = path / "duewheel"
    left_out = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    shutil.copytree(CHECKOUT / "python" / "duewheel", package, ignore=left_out, dirs_exist_ok=True)
    shutil.copy(target / "release" / "lib_core.so", package / f"_core{sysconfig.get_config_var('EXT_SUFFIX')}")
    return path


def importing(path: Path) -> dict[str, str]:
    """The environment of a process that imports the package from there."""
    return {**os.environ, "PYTHONPATH": str(path), "PYTHONHASHSEED": "0"}


def run(library: str, row: str, n: int, switch: Callable[[bool], None]) -> workload.Sample:
    """Run a row in this process; `switch` is told when the row's clock starts, and when it is read at the end."""
    clock, per_op = workload.clock, workload.per_op

    def begin() -> workload.Moment:
        moment = clock()
        switch(True)
        return moment

    def end(begin: workload.Moment, n: int) -> workload.Sample:
        switch(False)
        return per_op(begin, n)

    workload.clock, workload.per_op = begin, end
    rows: dict[str, workload.Row] = importlib.import_module(f"peers.{library}").ROWS
    return rows[row](n)
