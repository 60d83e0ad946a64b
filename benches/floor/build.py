"""Build what the floors are measured with: `python benches/floor/build.py` writes below target/floor/, for each interpreter its own.

Needs a C compiler (`CC`, else `cc`) and Python's headers.
"""

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILT = HERE.parent.parent / "target" / "floor" / str(sys.implementation.cache_tag)
EXTENSION = BUILT / f"floor{sysconfig.get_config_var('EXT_SUFFIX')}"
BARE = BUILT / "bare"


def compile_to(built: Path, source: Path, *flags: str) -> None:
    """Compile, unless what was built is newer than its source."""
    if built.exists() and built.stat().st_mtime > source.stat().st_mtime:
        return
    compiler = shlex.split(os.environ.get("CC", "cc"))
    subprocess.run([*compiler, "-O3", "-o", str(built), str(source), *flags], check=True)


def build() -> None:
    BUILT.mkdir(parents=True, exist_ok=True)
    dynamic = ("-undefined", "dynamic_lookup") if os.uname().sysname == "Darwin" else ()
    include = f"-I{sysconfig.get_path('include')}"
    compile_to(EXTENSION, HERE / "floor.c", "-shared", "-fPIC", include, *dynamic)
    compile_to(BARE, HERE / "bare.c")


if __name__ == "__main__":
    build()
    print(f"built: {EXTENSION}, {BARE}")
