"""From raw samples to figures: medians, spreads and paired ratios."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from rows import FLOOR, LIBRARIES, OURS, ROWS, Goal, Row


@dataclass(frozen=True)
class Figure:
    """The middle and the ends of the samples of all rounds."""

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: list[float], n: int) -> "Figure | None":
        return cls(median(values), min(values), max(values), n) if values else None


@dataclass(frozen=True)
class Verdict:
    row: Row
    goal: Goal
    found: Figure
    cpu: Figure | None  # the same ratio in CPU time of all threads, which other processes disturb less
    in_cpu: bool  # whether that is what the goal is judged by

    @property
    def met(self) -> bool:
        judged = self.cpu if self.cpu and self.in_cpu else self.found
        return judged.median <= self.goal.limit


class Results:
    def __init__(self, results: dict[str, Any]) -> None:
        self.machine: dict[str, Any] = results["machine"]
        self.rounds: int = results["rounds"]
        self.quick: bool = results["quick"]
        self.samples: list[dict[str, Any]] = results["samples"]

    def by_round(self, row: str, library: str, metric: str) -> dict[int, float]:
        return {
            sample["round"]: sample["values"][metric]
            for sample in self.samples
            if sample["row"] == row and sample["library"] == library and metric in sample.get("values", {})
        }

    def figure(self, row: str, library: str, metric: str) -> Figure | None:
        sizes = [s["n"] for s in self.samples if s["row"] == row and s["library"] == library]
        return Figure.of(list(self.by_round(row, library, metric).values()), sizes[0] if sizes else 0)

    def ratio(self, row: str, goal: Goal) -> Figure | None:
        """Ours over the peer's, round by round, so that what slows the machine for a while slows both."""
        ours = self.by_round(row, OURS, goal.metric)
        if goal.peer is None:
            return Figure.of(list(ours.values()), 0)
        theirs = self.by_round(goal.row or row, goal.peer, goal.metric)
        return Figure.of([ours[i] / theirs[i] for i in ours if theirs.get(i)], 0)

    def verdicts(self) -> Iterator[Verdict]:
        for row in ROWS:
            in_cpu = self.shown(row, "ns") == "cpu"
            for goal in row.goals:
                if found := self.ratio(row.key, goal):
                    cpu = (
                        self.ratio(row.key, replace(goal, metric="cpu")) if goal.peer and goal.metric == "ns" else None
                    )
                    yield Verdict(row, goal, found, cpu, in_cpu)

    def shown(self, row: Row, metric: str) -> str:
        """What stands for a metric: where other processes took the machine, CPU time for the wall's.

        Not where a row waits: for its due, or for the disk.
        """
        waits = row.key.startswith(("lateness", "commit", "at_most_once"))
        return "cpu" if self.is_busy() and metric == "ns" and row.unit == "ns" and not waits else metric

    def loads(self) -> list[float]:
        return sorted(sample["load"] for sample in self.samples if "load" in sample)

    def is_busy(self) -> bool:
        """Whether other processes took much of the machine: then the clock on the wall says little."""
        loads = self.loads()
        return bool(loads) and loads[len(loads) // 2] > 2

    def over_floor(self, row: str, metric: str) -> Figure | None:
        return self.ratio(row, Goal(0.0, FLOOR, metric=metric))

    def absent(self) -> list[str]:
        """The rows that this build or interpreter does not have, with the reason."""
        titles = {row.key: row.title for row in ROWS}
        return sorted({f"{titles[s['row']]} ({s['absent']})" for s in self.samples if "absent" in s})

    def libraries(self) -> list[str]:
        measured = {sample["library"] for sample in self.samples}
        return [library for library in LIBRARIES if library in measured]

    def errors(self) -> list[str]:
        return sorted({f"{LIBRARIES[s['library']]}, {s['row']}: {s['error']}" for s in self.samples if "error" in s})
