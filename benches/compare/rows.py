"""The rows of the comparison: how much of what, in which unit, and what duewheel is to reach."""

from dataclasses import dataclass, field

OURS = "ours"
LIBRARIES = {  # module in peers/ -> its name on the page
    OURS: "duewheel",
    "asyncio_loop": "asyncio",
    "uvloop_loop": "uvloop",
    "rloop_loop": "rloop",
    "stdlib_sched": "sched",
    "apscheduler3": "APScheduler",
    "rscheduler_rust": "rscheduler",
    "rust_py_scheduler_rust": "rust-py-scheduler",
}
LOOPS = ("asyncio_loop", "uvloop_loop", "rloop_loop")
MILLION = 1_000_000


@dataclass(frozen=True)
class Goal:
    """`ours <= limit * peer` in the row, or `ours <= limit` where there is no peer."""

    limit: float
    peer: str | None = None
    metric: str = "ns"
    row: str | None = None  # the peer's (or our own other) row, if it is not this one


@dataclass(frozen=True)
class Row:
    key: str
    title: str
    n: int = MILLION
    peers: dict[str, int | None] = field(default_factory=dict)  # how many, None: as many as ours
    unit: str = "ns"
    goals: tuple[Goal, ...] = ()
    pictured: bool = True

    @property
    def metrics(self) -> tuple[str, ...]:
        return METRICS.get(self.key, ("bytes",) if self.unit == "B" else ("ns",))


METRICS = {"lateness": ("ns", "p99"), "idle": ("wakes", "cpu")}
METRIC_TITLES = {
    ("lateness", "ns"): "lateness, p50",
    ("lateness", "p99"): "lateness, p99",
    ("idle", "wakes"): "idle: context switches a second",
    ("idle", "cpu"): "idle: % of one CPU",
}


def against(asyncio: float = 0, uvloop: float = 0, rloop: float = 0, **where: str) -> tuple[Goal, ...]:
    """Goals of the form "a 1/x of the peer's time"."""
    given = zip(LOOPS, (asyncio, uvloop, rloop), strict=True)
    return tuple(Goal(1 / x, peer, **where) for peer, x in given if x)


EVENT_LOOPS: dict[str, int | None] = dict.fromkeys(LOOPS)
ADDING: dict[str, int | None] = {**EVENT_LOOPS, "stdlib_sched": None}
RUNNING: dict[str, int | None] = {**EVENT_LOOPS, "stdlib_sched": 20_000}
RUST: dict[str, int | None] = {"rscheduler_rust": None, "rust_py_scheduler_rust": 5_000}

ROWS = (
    Row(
        "schedule",
        "schedule, fresh process",
        peers={**ADDING, "apscheduler3": 5_000, **RUST},
        goals=against(asyncio=18, rloop=5),
    ),
    Row("schedule_again", "schedule, the second million", peers=ADDING, goals=against(asyncio=10)),
    Row("schedule_many", "schedule in bulk", goals=against(asyncio=40, rloop=12, row="schedule")),
    Row(
        "cancel",
        "cancel, in order",
        peers={**EVENT_LOOPS, "stdlib_sched": 2_000, "apscheduler3": 5_000, **RUST},
        goals=against(asyncio=2.5),
    ),
    Row(
        "cancel_random",
        "cancel, in random order",
        peers={**EVENT_LOOPS, "stdlib_sched": 2_000, "apscheduler3": 5_000, **RUST},
        goals=against(asyncio=1 / 1.5),
    ),
    Row(
        "run_due",
        "run what is due already",
        peers={**RUNNING, "apscheduler3": 5_000},
        goals=against(asyncio=18, rloop=2, uvloop=3),
    ),
    Row(
        "whole",
        "whole: schedule and run",
        peers={**RUNNING, "apscheduler3": 5_000},
        goals=(*against(asyncio=18, uvloop=18, rloop=5), Goal(1 / 300, "apscheduler3")),
    ),
    Row("whole_started", "whole, started beforehand", pictured=False),
    Row("hold", "hold: run and reschedule", n=2 * MILLION, peers=RUNNING, goals=against(9, 8, 1.8)),
    Row("retry", "a failing attempt, retried", peers=RUNNING, goals=against(asyncio=3)),
    Row(
        "memory",
        "memory of a pending job",
        unit="B",
        peers={**ADDING, "apscheduler3": 5_000, **RUST},
        goals=(Goal(80, metric="bytes"),),
    ),
    Row(
        "lateness",
        "lateness",
        n=5_000,
        peers={**EVENT_LOOPS, "stdlib_sched": None},
        goals=(Goal(1 / 10, "asyncio_loop"), Goal(1 / 6, "asyncio_loop", metric="p99")),
    ),
    Row("growth_small", "schedule and run, 100k pending", n=100_000, pictured=False),
    Row(
        "growth_large",
        "schedule and run, 10M pending",
        n=10 * MILLION,
        goals=(Goal(1.5, OURS, row="growth_small"),),
        pictured=False,
    ),
    Row("idle", "idle", unit="", goals=(Goal(0.0, metric="wakes"),), pictured=False),
)
BY_KEY = {row.key: row for row in ROWS}

QUICK_DIVISOR = 20


def size(row: Row, library: str, *, quick: bool) -> int:
    """How many jobs `library` gets in `row`."""
    n = row.n if library == OURS else (row.peers[library] or row.n)
    return max(n // QUICK_DIVISOR, 1_000) if quick else n
