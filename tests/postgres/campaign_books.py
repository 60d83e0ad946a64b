"""The books of a campaign: what all processes wrote down, held against what is promised."""

import bisect
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import campaign_process as process

SLACK_S = 3.0
"""So much longer than its lease may a fault take to show, on a machine with other work."""
TOLERANCE_S = 0.001
"""How early a start may be: a due is the wall clock's, and starts are written down by the monotonic clock."""


@dataclass(frozen=True)
class Fault:
    """What was done to a process, or with `life` empty to all of them, and from when to when."""

    kind: str
    life: str
    begun: float
    ended: float


@dataclass(frozen=True)
class Lease:
    """A lease that others have taken over."""

    life: str
    begun: float
    seen: float


@dataclass(frozen=True)
class Start:
    life: str
    job: int
    attempt: int
    at: float
    due: float


@dataclass
class Books:
    """What was written down."""

    lease_s: float
    faults: list[Fault] = field(default_factory=list)
    lost_leases: list[Lease] = field(default_factory=list)
    killed: dict[str, float] = field(default_factory=dict)
    dead: dict[int, str] = field(default_factory=dict)
    calls: dict[bytes, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    """By what it wrote down, the jobs and when."""
    starts: dict[int, list[Start]] = field(default_factory=lambda: defaultdict(list))
    ended: set[int] = field(default_factory=set)
    faulty: list[str] = field(default_factory=list)
    """What else is not as it should be."""

    def read(self, directory: Path) -> None:
        """Take in the logs: those of nodes are `node-…`, of those that schedule `producer-…`."""
        for path in directory.glob("producer-*.log"):
            for what, first, count, at in entries(path, process.CALLED):
                self.calls[what].update(dict.fromkeys(range(first, first + count), at))
        for path in directory.glob("node-*.log"):
            for what, job, attempt, at, due in entries(path, process.RAN):
                if what == b"s":
                    self.starts[job].append(Start(path.stem, job, attempt, at, due))
                else:
                    self.ended.add(job)
        for starts in self.starts.values():
            starts.sort(key=lambda start: start.at)

    def lost(self) -> list[int]:
        """What was acknowledged and has neither run to its end nor is it dead."""
        over = self.ended | self.dead.keys() | self.calls[process.WITHDRAWN].keys()
        return sorted(self.calls[process.DONE].keys() - over)

    def twice(self) -> list[int]:
        """What was to start at most once and did more often."""
        return sorted(job for job, starts in self.starts.items() if process.is_once(job) and len(starts) > 1)

    def refused_and_run(self) -> list[int]:
        """What a call said was not scheduled, and ran."""
        return sorted(self.calls[process.REFUSED].keys() & self.starts.keys())

    def withdrawn_and_run(self) -> list[int]:
        """What a cancel said will not start, and did later."""
        withdrawn = self.calls[process.WITHDRAWN].items()
        return sorted(job for job, at in withdrawn if any(start.at > at for start in self.starts.get(job, ())))

    def early(self) -> list[Start]:
        """What started before it was due."""
        return [start for of in self.starts.values() for start in of if start.due - start.at > TOLERANCE_S]

    def again(self) -> list[tuple[Start, Start]]:
        """Starts of attempts that had started before, each with the start before it."""
        found = []
        for job, starts in self.starts.items():
            if process.is_once(job):
                continue
            attempts: dict[int, Start] = {}
            for start in starts:
                if start.attempt in attempts:
                    found.append((attempts[start.attempt], start))
                attempts[start.attempt] = start
        return found

    def unexplained(self) -> list[tuple[Start, Start]]:
        """Those of them whose first node neither died nor lost its lease meanwhile."""
        leases = defaultdict(list)
        for lease in self.lost_leases:
            leases[lease.life].append(lease)

        def is_explained(before: Start, start: Start) -> bool:
            if before.at <= self.killed.get(before.life, float("-inf")) <= start.at:
                return True
            return any(
                lease.begun <= before.at <= lease.seen + self.lease_s + SLACK_S and lease.seen <= start.at
                for lease in leases[before.life]
            )

        return [pair for pair in self.again() if not is_explained(*pair)]

    def unexplained_leases(self) -> list[Lease]:
        """Leases that were lost without a fault: the machine had too much else to do."""
        faults = sorted(self.faults, key=lambda fault: fault.begun)
        begins = [fault.begun for fault in faults]

        def is_explained(lease: Lease) -> bool:
            last = lease.seen + self.lease_s + SLACK_S
            return any(
                fault.life in ("", lease.life) and fault.ended >= lease.seen - self.lease_s
                for fault in faults[: bisect.bisect_right(begins, last)]
            )

        return [lease for lease in self.lost_leases if not is_explained(lease)]

    def rows(self) -> list[tuple[str, int, str]]:
        """What was found, and what is promised."""
        acked = self.calls[process.DONE].keys()
        return [
            ("faults", len(self.faults), ""),
            ("jobs asked for", len(self.calls[process.ASKED]), ""),
            ("acknowledged", len(acked), ""),
            ("refused: nothing was changed", len(self.calls[process.REFUSED]), ""),
            ("in doubt", len(self.calls[process.IN_DOUBT]), ""),
            ("withdrawn", len(self.calls[process.WITHDRAWN]), ""),
            ("starts", sum(map(len, self.starts.values())), ""),
            ("acknowledged and lost", len(self.lost()), "0"),
            ("at most once, started twice", len(self.twice()), "0"),
            ("refused and run", len(self.refused_and_run()), "0"),
            ("withdrawn and run", len(self.withdrawn_and_run()), "0"),
            ("started before its due", len(self.early()), "0"),
            ("interrupted and reported", Counter(self.dead.values())["interrupted"], ""),
            ("dead for another reason", sum(why != "interrupted" for why in self.dead.values()), "0"),
            ("started again", len(self.again()), "by a death or a lost lease"),
            ("started again for no such reason", len(self.unexplained()), "0"),
            ("leases lost", len(self.lost_leases), ""),
            ("leases lost without a fault", len(self.unexplained_leases()), "an idle machine: 0"),
        ]

    def wrong(self) -> list[str]:
        """What is not as promised."""
        return self.faulty + [name for name, found, promised in self.rows() if promised == "0" and found]


def entries(path: Path, layout):
    """What a process wrote down; a kill may have torn the last."""
    written = path.read_bytes()
    return layout.iter_unpack(written[: len(written) // layout.size * layout.size])
