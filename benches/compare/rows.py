"""The rows of the comparison: how much of what, in which unit, and what duewheel is to reach."""

from dataclasses import dataclass, field

OURS = "ours"
FLOOR = "floor_bare"
LIBRARIES = {  # module in peers/ -> its name on the page
    OURS: "duewheel",
    FLOOR: "floor",
    "asyncio_loop": "asyncio",
    "uvloop_loop": "uvloop",
    "rloop_loop": "rloop",
    "zuvloop_loop": "zuvloop",
    "blazio_loop": "blazio",
    "stdlib_sqlite": "sqlite3",
    "stdlib_sched": "sched",
    "apscheduler3": "APScheduler",
    "rscheduler_rust": "rscheduler",
    "rust_py_scheduler_rust": "rust-py-scheduler",
}
LOOPS = ("asyncio_loop", "uvloop_loop", "rloop_loop", "zuvloop_loop", "blazio_loop")
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
    ours: bool = True  # whether duewheel has it, or the peers alone

    @property
    def metrics(self) -> tuple[str, ...]:
        return METRICS.get(self.key, ("bytes",) if self.unit == "B" else ("ns",))


METRICS = {"lateness": ("ns", "p99"), "lateness_async": ("ns", "p99"), "idle": ("wakes", "cpu")}
METRIC_TITLES = {
    ("lateness_async", "ns"): "lateness, async handler, p50",
    ("lateness_async", "p99"): "lateness, async handler, p99",
    ("lateness", "ns"): "lateness, p50",
    ("lateness", "p99"): "lateness, p99",
    ("idle", "wakes"): "idle: context switches a second",
    ("idle", "cpu"): "idle: % of one CPU",
}


def against(
    floor: float = 0, asyncio: float = 0, uvloop: float = 0, rloop: float = 0, zuvloop: float = 0, blazio: float = 0
) -> tuple[Goal, ...]:
    """Goals of the form "x times the floor" and "a 1/x of the peer's time"."""
    given = zip(LOOPS, (asyncio, uvloop, rloop, zuvloop, blazio), strict=True)
    return (*((Goal(floor, FLOOR),) if floor else ()), *(Goal(1 / x, peer) for peer, x in given if x))


FLOORED: dict[str, int | None] = {FLOOR: None}
EVENT_LOOPS: dict[str, int | None] = dict.fromkeys(LOOPS)
ADDING: dict[str, int | None] = {**FLOORED, **EVENT_LOOPS, "stdlib_sched": None}
RUNNING: dict[str, int | None] = {**FLOORED, **EVENT_LOOPS, "stdlib_sched": 20_000}
CANCELLING: dict[str, int | None] = {**FLOORED, **EVENT_LOOPS, "stdlib_sched": 2_000, "apscheduler3": 5_000}
RUST: dict[str, int | None] = {"rscheduler_rust": None, "rust_py_scheduler_rust": 5_000}
COMMITS = 4_000
AT_MOST_ONCE_BEFORE = 1e9 / 6_400  # nanoseconds a job, before marking ahead

ROWS = (
    Row(
        "schedule",
        "schedule, fresh process",
        peers={**ADDING, "apscheduler3": 5_000, **RUST},
        goals=against(floor=2.5, asyncio=18, rloop=5),
    ),
    Row(
        "schedule_again",
        "schedule, the second million",
        peers=ADDING,
        goals=against(floor=2.5, asyncio=18, rloop=5),
    ),
    Row(
        "schedule_many",
        "schedule in bulk",
        goals=(Goal(40 / 35, FLOOR, row="schedule"), Goal(1 / 12, "rloop_loop", row="schedule")),
    ),
    Row("cancel", "cancel, in order", peers={**CANCELLING, **RUST}, goals=against(floor=2)),
    Row("cancel_random", "cancel, in random order", peers={**CANCELLING, **RUST}, goals=against(asyncio=1)),
    Row("cancel_many", "cancel in bulk, in order", goals=(Goal(40.0),)),
    Row("cancel_many_random", "cancel in bulk, in random order", goals=(Goal(1 / 3, OURS, row="cancel_random"),)),
    Row(
        "timer",
        "start and cancel a `Timer`",
        peers={**FLOORED, **EVENT_LOOPS},
        goals=against(asyncio=15, uvloop=12, rloop=4, zuvloop=1.5, blazio=1.5),
    ),
    Row("pair", "schedule and cancel by id", peers={**FLOORED, **EVENT_LOOPS}),
    Row("timeouts", "`timeout`, nested, none expires", n=100_000, peers={"asyncio_loop": None, "uvloop_loop": None}),
    Row(
        "run_due",
        "run what is due already",
        peers={**RUNNING, "apscheduler3": 5_000},
        goals=against(floor=3.5, rloop=2, uvloop=3, zuvloop=2),
    ),
    Row(
        "async_due",
        "run what is due already, async",
        n=MILLION // 2,
        peers={**FLOORED, **EVENT_LOOPS},
        goals=against(floor=3),
    ),
    Row("whole", "whole: schedule and run", peers={**RUNNING, "apscheduler3": 5_000}, goals=against(rloop=5)),
    Row(
        "whole_started",
        "whole, started before",
        goals=(Goal(1 / 5, "rloop_loop", row="whole"), Goal(1.15, OURS, row="whole")),
    ),
    Row("hold", "hold: run and reschedule", n=2 * MILLION, peers=RUNNING, goals=against(rloop=1.8, zuvloop=1.8)),
    Row(
        "retry",
        "a failing attempt, retried",
        peers={k: n for k, n in RUNNING.items() if k != FLOOR},
        goals=against(asyncio=3),
    ),
    Row(
        "memory",
        "memory of a pending job",
        unit="B",
        peers={**EVENT_LOOPS, "stdlib_sched": None, "apscheduler3": 5_000, **RUST},
        goals=(Goal(73, metric="bytes"),),
    ),
    Row("first_touch", "first touch of a pending job's bytes", peers=FLOORED, ours=False),
    Row(
        "lateness",
        "lateness",
        n=5_000,
        peers={**FLOORED, **EVENT_LOOPS, "stdlib_sched": None},
        goals=(Goal(1.25, FLOOR), Goal(1.25, FLOOR, metric="p99")),
    ),
    Row("lateness_async", "lateness, async handler", n=5_000, peers=FLOORED, goals=against(floor=1.5)),
    Row(
        "commit",
        "schedule in a file, 1 thread, commit",
        n=COMMITS,
        peers={**FLOORED, "stdlib_sqlite": None},
    ),
    Row(
        "commit_threads",
        "schedule in a file, 16 threads, commit",
        n=12 * COMMITS,
        peers={FLOOR: COMMITS},
        goals=(Goal(1 / 8, "stdlib_sqlite", row="commit"),),
    ),
    Row("at_most_once", "run at most once in a file, 4 workers", n=100_000, goals=(Goal(AT_MOST_ONCE_BEFORE / 6),)),
    Row("compute_1", "handlers that compute, 1 worker", n=400, pictured=False),
    Row("compute_2", "handlers that compute, 2 workers", n=400, goals=(Goal(1 / 1.7, OURS, row="compute_1"),)),
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

QUICK_DIVISOR = 10
QUICK_LIBRARIES = (OURS, FLOOR, *LOOPS, "stdlib_sqlite")
QUICK_ROWS = tuple(row.key for row in ROWS if row.key not in ("retry", "growth_small", "growth_large", "idle"))


def size(row: Row, library: str, *, quick: bool) -> int:
    """How many jobs `library` gets in `row`."""
    n = row.n if library == OURS else (row.peers[library] or row.n)
    return max(n // QUICK_DIVISOR, min(n, 1_000)) if quick else n
