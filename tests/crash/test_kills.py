"""kill -9 at random moments, over and over: nothing acknowledged is lost, little runs twice, at most once is true.

`DUEWHEEL_KILLS` is how many kills the slow form makes over all ways (2,000 unless given).
"""

import os
import random
import runpy
import shutil
import time
from collections import Counter, defaultdict
from pathlib import Path

import pytest

WORKERS = 3
THREADS = 4
BATCH = 256
"""How many outcomes wait at most before they go to the store (`SETTLE_AT` of the engine)."""

COMMIT = {"durability": "commit"}
RELAXED = {"durability": "relaxed"}


def paged(rng):
    """Next to nothing is in memory: nearly all goes by the disk and comes back in pages."""
    return {**COMMIT, "resident": rng.choice([1, 16, 64]), "horizon": rng.choice([0.05, 0.5])}


WAYS = {"commit": lambda rng: COMMIT, "relaxed": lambda rng: RELAXED, "paged": paged}


class Books:
    """What all lives of the process wrote down, in order."""

    def __init__(self, lines):
        self.asked, self.acked, self.stopped, self.maybe_stopped = set(), set(), {}, set()
        self.runs = defaultdict(list)  # token -> (life, attempt, line)
        self.over = defaultdict(set)  # token -> (life, attempt)
        self.ended = set()
        self.moves = defaultdict(lambda: [None])  # token -> dues that it may have; None: any
        self.dead = defaultdict(list)
        self.early, self.wrong_due, self.lines = [], [], 0
        for number, (word, *rest) in enumerate(lines):
            self.lines += 1
            getattr(self, "_" + word.replace("?", "_try"))(number, *rest)

    def _ask(self, number, *tokens):
        self.asked.update(tokens)

    def _ack(self, number, *tokens):
        self.acked.update(tokens)

    def _open(self, number, life):
        pass

    def _run(self, number, token, life, attempt, run, due, now):
        self.runs[token].append((life, attempt, number))
        if int(now) < int(due) - 1_000_000:  # a due on the boot clock maps to the wall's with an error
            self.early.append(token)
        moves = self.moves.get(token)
        if moves and None not in moves and token[0] != "f" and int(due) not in moves:
            self.wrong_due.append((token, due, moves))

    def _end(self, number, token, life, attempt):
        self.over[token].add((life, attempt))
        self.ended.add(token)

    def _fail(self, number, token, life, attempt):
        self.over[token].add((life, attempt))

    def _stop_try(self, number, token, life):
        self.maybe_stopped.add(token)

    def _stop(self, number, token, life):
        self.stopped[token] = (life, number)

    def _move_try(self, number, token, life, due):
        self.moves[token].append(int(due))

    def _move(self, number, token, life, due):
        self.moves[token] = [int(due)]

    def _dead(self, number, token, reason, run, died):
        self.dead[token].append((reason, int(run), int(died)))

    def extra_starts(self):
        """By the life that was killed: attempts that it started and a later one started again, in flight or not."""
        extra, in_flight, twice_in_one = Counter(), Counter(), []
        for token, runs in self.runs.items():
            seen = {}
            for life, attempt, _ in runs:
                if attempt in seen:
                    if seen[attempt] == life:
                        twice_in_one.append((token, life, attempt))
                    extra[seen[attempt]] += 1
                    in_flight[seen[attempt]] += (seen[attempt], attempt) not in self.over[token]
                seen[attempt] = life
        return extra, in_flight, twice_in_one


def audit(books, kills, workers):
    assert set(books.runs) <= books.asked, "a job that nobody asked for"
    assert not books.early, books.early[:10]
    assert not books.wrong_due, books.wrong_due[:10]

    # Nothing that was acknowledged is lost.
    lost = books.acked - books.ended - set(books.stopped) - books.maybe_stopped - set(books.dead)
    assert not lost, (len(lost), sorted(lost)[:10])
    # Asked whether it was withdrawn, nobody knows the answer: at most one for each thread and kill.
    unknown = {
        token
        for token in books.acked - books.ended - set(books.stopped) - set(books.dead)
        if token in books.maybe_stopped
    }
    assert len(unknown) <= kills * THREADS, len(unknown)

    # What was withdrawn never starts.
    for token, (life, line) in books.stopped.items():
        started = [run for run in books.runs.get(token, ()) if run[2] > line or run[0] == life]
        assert not started, (token, line, books.runs[token])
        assert token not in books.dead, (token, books.dead[token])

    # Duplicates are bounded.
    extra, in_flight, twice_in_one = books.extra_starts()
    assert not twice_in_one, twice_in_one[:10]
    for life, starts in extra.items():
        assert in_flight[life] <= workers, (life, in_flight[life])
        assert starts <= in_flight[life] + BATCH, (life, starts, in_flight[life])

    # At most once: no double starts, each interruption reported.
    once = {token: runs for token, runs in books.runs.items() if token[0] == "o"}
    doubles = {token: runs for token, runs in once.items() if len(runs) > 1}
    assert not doubles, list(doubles.items())[:10]
    unreported = [
        token
        for token, runs in once.items()
        if (runs[0][0], runs[0][1]) not in books.over[token]
        and books.dead.get(token, [("", 0, 0)])[0][0] != "interrupted"
    ]
    assert not unreported, unreported[:10]
    uncalled = Counter(dead[0][2] for token, dead in books.dead.items() if token[0] == "o" and token not in books.runs)
    assert sum(uncalled.values()) <= 2 * workers * kills
    assert all(count <= 2 * workers for count in uncalled.values()), uncalled  # died at one opening: after one kill
    interrupted = Counter(dead[0][2] for token, dead in books.dead.items() if token[0] == "o")
    assert all(count <= 3 * workers for count in interrupted.values()), interrupted
    for token, dead in books.dead.items():
        assert len(dead) == 1, (token, dead)
        assert dead[0][0] == "interrupted", (token, dead)
        # At least once: only after three deaths.
        assert token[0] == "o" or len(books.runs[token]) >= 3, (token, dead, books.runs[token])

    return {
        "kills": kills,
        "acknowledged": len(books.acked),
        "lost": len(lost),
        "run": len(books.runs),
        "withdrawn": len(books.stopped),
        "extra starts": sum(extra.values()),
        "of these in flight": sum(in_flight.values()),
        "most after one kill": max(extra.values(), default=0),
        "at most once, run": len(once),
        "started twice": len(doubles),
        "interrupted": sum(interrupted.values()),
        "most interrupted by one kill": max(interrupted.values(), default=0),
        "marked, not called": sum(uncalled.values()),
        "most marked after one kill": max(uncalled.values(), default=0),
    }


def lives(children, path, lines, way, kills, jobs, rng, **more):
    """Kill so many lives, or more until so many jobs are acknowledged: how fast it goes is the machine's affair."""
    told = {"path": path, "threads": THREADS, "workers": WORKERS, "pause_s": 0.004, "wait_s": 0.004, **more}
    life = 0
    while life < kills or len(Books(lines).acked) < jobs:
        child = children.start("work", life=life, seed=rng.randrange(2**32), storage=WAYS[way](rng), **told)
        # Some die while they open the file, the others in the midst of work.
        if rng.random() < 0.2:
            time.sleep(rng.uniform(0.04, 0.15))
        else:
            assert child.stdout.readline(), child.communicate(timeout=50)[1].decode()
            time.sleep(rng.uniform(0, 0.3))
        status = child.poll()
        _, err = children.kill(child)
        assert status is None, f"it ended by itself, with {status}: {err}"
        assert not err, err
        life += 1
    return life


def killed(children, path, lines, way, kills, jobs, record, seed, **more):
    rng = random.Random(seed)
    begin = time.monotonic()
    kills = lives(children, path, lines, way, kills, jobs, rng, **more)
    # Thousands are left by the long form, and with next to no room in memory they come one by one.
    storage = COMMIT if kills > 100 else WAYS[way](rng)
    done = children.finish("finish", path=path, workers=WORKERS, storage=storage, timeout=300)
    assert done["over"] and done["left"] == 0, done
    assert done["pending"] == done["seen"], done
    try:
        figures = audit(Books(lines), kills, WORKERS)
    except AssertionError:
        shutil.copy(lines.path, Path(path).parents[1] / f"kills-{seed}.log")  # it may not be seen again
        raise
    figures["seconds"] = round(time.monotonic() - begin, 1)
    for name, value in figures.items():
        record(name, value)
    print(way, figures)  # noqa: T201 - with -s, and in the report of a failure
    return figures


@pytest.mark.parametrize("way", WAYS)
def test_a_few_kills(children, path, lines, way, record_property):
    figures = killed(children, path, lines, way, 8, 101, record_property, seed=time.time_ns())
    assert figures["acknowledged"] > 100


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize(("way", "share"), [("commit", 0.4), ("relaxed", 0.3), ("paged", 0.3)])
def test_two_thousand_kills(children, path, lines, way, share, record_property):
    kills = round(share * int(os.environ.get("DUEWHEEL_KILLS", "2000")))
    seed = time.time_ns()
    jobs = 100 * kills  # 200,000 over all ways
    figures = killed(children, path, lines, way, kills, jobs, record_property, seed, pause_s=0.001, wait_s=0.002)
    assert figures["kills"] >= kills
    assert figures["acknowledged"] >= jobs


GOOD = """
open 0
ask p1 o1 f1 p2 p3
ack p1 o1 f1 p2
run p1 0 1 1 5 9000000
end p1 0 1
run o1 0 1 1 5 9000000
stop? p2 0
stop p2 0
open last
run p3 last 1 2 5 9000000
end p3 last 1
run f1 last 1 1 5 9000000
fail f1 last 1
run f1 last 2 2 5 9000000
end f1 last 2
dead o1 interrupted 1 7
"""
BAD = {
    "lost": ("end f1 last 2\n", ""),
    "started twice": ("open last\n", "open last\nrun o1 last 1 2 5 9000000\nend o1 last 1\n"),
    "twice in one life": ("end p1 0 1\n", "end p1 0 1\nrun p1 0 1 2 5 9000000\nend p1 0 1\n"),
    "withdrawn and run": ("open last\n", "open last\nrun p2 last 1 1 5 9000000\nend p2 last 1\n"),
    "interrupted, not reported": ("dead o1 interrupted 1 7\n", ""),
    "dead too early": ("dead o1", "dead p1 interrupted 1 7\ndead o1"),
    "nobody asked": ("open last\n", "open last\nrun p9 last 1 1 5 9000000\n"),
    "early": ("run p3 last 1 2 5 9000000", "run p3 last 1 2 12000000 9000000"),
    "moved, and not kept": ("open last\n", "move? p3 0 6\nmove p3 0 6\nopen last\n"),
    "many again": (
        "open last\n",
        "".join(f"ask p{n}\nrun p{n} 0 1 1 5 9000000\nend p{n} 0 1\n" for n in range(100, 400))
        + "open last\n"
        + "".join(f"run p{n} last 1 2 5 9000000\nend p{n} last 1\n" for n in range(100, 400)),
    ),
    "too many interrupted": (
        "dead o1",
        "".join(f"ask o{n}\nrun o{n} 0 1 1 5 9000000\ndead o{n} interrupted 1 7\n" for n in range(100, 110))
        + "dead o1",
    ),
    "marked, far ahead": (
        "dead o1",
        "".join(f"ask o{n}\ndead o{n} interrupted 1 7\n" for n in range(100, 110)) + "dead o1",
    ),
}


def test_a_line_torn_by_a_kill_is_no_line(path, lines):
    log_of = runpy.run_path(str(Path(__file__).with_name("child.py")))["Log"]
    for said in ("ask p1 p2\nack p1 p", "open 1\n"):
        log_of(path)
        with open(lines.path, "a") as log:  # noqa: PTH123
            log.write(said)
    assert list(lines) == [["ask", "p1", "p2"], ["open", "1"]]


def test_the_audit_passes_books_that_add_up():
    figures = audit(Books(map(str.split, GOOD.split("\n")[1:-1])), 1, WORKERS)
    assert (figures["acknowledged"], figures["interrupted"], figures["extra starts"]) == (4, 1, 0)


@pytest.mark.parametrize("wrong", BAD)
def test_the_audit_refuses_books_that_are_false(wrong):
    old, new = BAD[wrong]
    assert old in GOOD
    books = Books(map(str.split, GOOD.replace(old, new, 1).split("\n")[1:-1]))
    with pytest.raises(AssertionError):
        audit(books, 1, WORKERS)
