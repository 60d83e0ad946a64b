"""Who is compared on PostgreSQL: how each is installed and started, and what its tables say of what is not finished."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
PROGRAMS = HERE / "peers" / "postgres"
BUILT = CHECKOUT / "target" / "peers" / "postgres"
INSTALL_LIMIT_S = 600

OURS = "ours"
RIVER = "github.com/riverqueue/river"


def python(program: str) -> list[str]:
    return [sys.executable, str(PROGRAMS / program)]


def of_pip(*names: str) -> Callable[[], str]:
    def prepare() -> str:
        try:
            return ", ".join(version(name) if name == names[0] else f"{name} {version(name)}" for name in names)
        except PackageNotFoundError as error:
            raise RuntimeError(f"{error.name} is not installed: see requirements.txt") from None

    return prepare


def checkout() -> str:
    if find_spec("duewheel") is None:
        raise RuntimeError("duewheel is not on the path")
    return "of this checkout"


def installed(command: list[str], at: Path) -> None:
    if shutil.which(command[0]) is None:
        raise RuntimeError(f"there is no {command[0]} on this machine")
    done = subprocess.run(command, cwd=at, capture_output=True, text=True, timeout=INSTALL_LIMIT_S, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip().splitlines()[-1]}")


def build_river() -> str:
    installed(["go", "build", "-o", str(BUILT / "river"), "."], PROGRAMS / "river")
    required = (PROGRAMS / "river" / "go.mod").read_text("utf-8").split()
    go = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout.strip()
    return f"{required[required.index(RIVER) + 1].removeprefix('v')}, {go}"


def install_graphile() -> str:
    """Modules of Node are looked for beside the program: so it goes where they are."""
    for name in ("package.json", "graphile_worker.mjs"):
        shutil.copyfile(PROGRAMS / name, BUILT / name)
    installed(["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"], BUILT)
    asked = "require('./node_modules/graphile-worker/package.json').version + ', Node ' + process.version"
    told = subprocess.run([NODE, "-p", asked], cwd=BUILT, capture_output=True, text=True, check=True)
    return told.stdout.strip()


NODE = str(BUILT / "node_modules" / ".bin" / "node")


@dataclass(frozen=True)
class Side:
    """How many jobs a row has with this side: about as many as take a few seconds."""

    title: str
    command: list[str]
    prepare: Callable[[], str]
    """Installs it; its version, or a RuntimeError that says why there is none."""
    unfinished: str
    """Whether there is a job that is not finished."""
    early: str
    """The settings under which it starts jobs early, and idles."""
    busy: str
    """Those under which it runs many."""
    n: dict[str, int] = field(default_factory=dict)


SIDES = {
    OURS: Side(
        "duewheel",
        python("duewheel_node.py"),
        checkout,
        "SELECT EXISTS (SELECT FROM duewheel.job)",
        "as by default, `workers=1`",
        "the same",
        {"single": 32_000, "bulk": 100_000, "run": 100_000},
    ),
    "river": Side(
        "River",
        [str(BUILT / "river")],
        build_river,
        "SELECT EXISTS (SELECT FROM river_job WHERE state <> 'completed')",
        "`FetchCooldown` and `FetchPollInterval` 1 ms, `MaxWorkers` 100",
        "those of its own benchmark: `MaxWorkers` 2,000, poll 20 ms, cooldown 2 ms; bulk by COPY (`InsertManyFast`)",
        {"single": 8_000, "bulk": 100_000, "run": 100_000},
    ),
    "graphile": Side(
        "graphile-worker",
        [NODE, str(BUILT / "graphile_worker.mjs")],
        install_graphile,
        "SELECT EXISTS (SELECT FROM graphile_worker._private_jobs)",
        "`concurrentJobs` 4, `pollInterval` 2 ms",
        "`concurrentJobs` 24, `localQueue` 500, `completeJobBatchDelay` 0; bulk by `addJobs`",
        {"single": 3_000, "bulk": 100_000, "run": 100_000},
    ),
    "pgqueuer": Side(
        "pgqueuer",
        python("pgqueuer_worker.py"),
        of_pip("pgqueuer", "asyncpg", "uvloop"),
        "SELECT EXISTS (SELECT FROM pgqueuer)",
        "`batch_size` 10, `min_dequeue_poll_interval` 1 ms",
        "`batch_size` 100; bulk by `enqueue` of lists",
        {"single": 4_000, "bulk": 100_000, "run": 50_000},
    ),
    "awa": Side(
        "awa",
        python("awa_worker.py"),
        of_pip("awa-pg", "uvloop"),
        "SELECT EXISTS (SELECT FROM awa.jobs WHERE state NOT IN ('completed', 'failed', 'cancelled'))",
        "`poll_interval_ms` and `promote_interval_ms` 50, 16 workers",
        "1,000 workers, `claimers` 2, `claim_batch_size` 1,000; bulk by COPY (`enqueue_many_copy`)",
        {"single": 4_000, "bulk": 50_000, "run": 30_000},
    ),
    "procrastinate": Side(
        "procrastinate",
        python("procrastinate_worker.py"),
        of_pip("procrastinate", "psycopg", "uvloop"),
        "SELECT EXISTS (SELECT FROM procrastinate_jobs WHERE status IN ('todo', 'doing'))",
        "`fetch_job_polling_interval` 10 ms, `concurrency` 4, `delete_jobs` successful",
        "`concurrency` 20, `delete_jobs` successful; bulk by `batch_defer`",
        {"single": 4_000, "bulk": 20_000, "run": 2_000},
    ),
}


def prepared(names: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The versions of those that are there, and why the others are not."""
    os.makedirs(BUILT, exist_ok=True)
    found, absent = {}, {}
    for name in names:
        try:
            found[name] = SIDES[name].prepare()
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            absent[name] = str(error)
    return found, absent
