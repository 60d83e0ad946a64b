"""Make the profile that wheels are built by: `python benches/train.py FILE`, for `rustc -C profile-use=FILE`.

Builds the extension so that it counts where it goes, runs rows of the comparison with it, and merges the counts. It
serves other CPythons than the one that runs this, too; of those, rustc says what PyO3 compiles otherwise for them, and
leaves that out. Needs `llvm-profdata` of the LLVM that rustc has, from rustup
(`rustup component add llvm-tools`) or the system's packages; where there is none, the exit status is 3.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

COMPARE = Path(__file__).parent / "compare"
sys.path.insert(0, str(COMPARE))

import profiled  # noqa: E402

# The hot paths, and how many jobs each runs: some of the code behind them is to be found cold.
ROWS = {
    "schedule": 100_000,
    "schedule_again": 100_000,
    "schedule_many": 100_000,
    "cancel": 100_000,
    "cancel_random": 100_000,
    "cancel_many": 100_000,
    "timer": 100_000,
    "pair": 100_000,
    "timeouts": 50_000,
    "run_due": 100_000,
    "async_due": 100_000,
    "whole": 100_000,
    "whole_started": 100_000,
    "hold": 100_000,
    "retry": 50_000,
    "lateness": 1_000,
    "lateness_async": 1_000,
    "commit": 1_000,
    "commit_threads": 2_000,
    "at_most_once": 5_000,
}
# Not by measure.py: it ends its process at once, and counts are written when a process ends in order.
RUN = "import sys; from peers import ours; ours.ROWS[sys.argv[1]](int(sys.argv[2]))"
NO_TOOL = 3


def merger() -> str | None:
    """A program that reads what this rustc's programs write."""
    rustc = os.environ.get("RUSTC", "rustc")
    about = subprocess.run([rustc, "-vV"], capture_output=True, text=True, check=True).stdout
    facts = dict(line.split(": ", 1) for line in about.splitlines() if ": " in line)
    llvm = facts["LLVM version"].split(".")[0]
    sysroot = subprocess.run([rustc, "--print=sysroot"], capture_output=True, text=True, check=True).stdout.strip()
    places = [
        f"{sysroot}/lib/rustlib/{facts['host']}/bin/llvm-profdata",
        f"/usr/lib/llvm-{llvm}/bin/llvm-profdata",
        f"llvm-profdata-{llvm}",
        "llvm-profdata",
    ]
    for found in filter(None, map(shutil.which, places)):
        said = subprocess.run([found, "merge", "--version"], capture_output=True, text=True, check=False).stdout
        if (version := re.search(r"LLVM version (\d+)", said)) and version[1] == llvm:
            return found
    sys.stderr.write(
        f"there is no llvm-profdata of LLVM {llvm}: rustup component add llvm-tools, or a package as llvm-{llvm}\n"
    )
    return None


def main(file: Path) -> int:
    merge = merger()
    if merge is None:
        return NO_TOOL
    counts = profiled.CHECKOUT / "target" / "profiled" / "counts"
    shutil.rmtree(counts, ignore_errors=True)
    built = profiled.build("counting", f"-Cprofile-generate={counts}")
    for row, n in ROWS.items():
        subprocess.run([sys.executable, "-c", RUN, row, str(n)], cwd=COMPARE, env=profiled.importing(built), check=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([merge, "merge", f"--output={file}", str(counts)], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
