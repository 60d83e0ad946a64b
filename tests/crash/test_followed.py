"""kill -9 where something follows a job: what changes it while it runs, and what its death leaves behind.

`DUEWHEEL_KILLS`: a tenth as many kills in the slow form (2,000 unless given), over all ways.
"""

import os
import random
import time
from collections import defaultdict
from pathlib import Path

import pytest

FOLLOWED = Path(__file__).with_name("followed.py")
THREADS, WORKERS = 3, 3
DEATHS = {"mortal": "discarded", "fleeting": "interrupted"}
"""Why what dies does: by itself, or with its process."""
WAYS = {
    "commit": {"durability": "commit"},
    "relaxed": {"durability": "relaxed"},
    "paged": {"durability": "relaxed", "resident": 2, "horizon": 0.05},
}


class Books:
    """What all lives wrote down, in order; each job by its id, and what it was made by a token."""

    def __init__(self, lines):
        self.asked = defaultdict(list)  # id -> tokens
        self.acked = defaultdict(list)
        self.runs = defaultdict(list)  # id -> (token, attempt, line)
        self.ended = set()  # (id, token)
        self.settled = {}  # (id, token, attempt) -> line
        self.heirs = defaultdict(set)  # token -> ids of what followed it
        for number, (word, *rest) in enumerate(lines):
            getattr(self, "_" + word)(number, *rest)

    def _ask(self, number, id, token):
        self.asked[id].append(token)

    def _ack(self, number, id, token):
        self.acked[id].append(token)

    def _run(self, number, id, token, attempt, life):
        self.runs[id].append((token, attempt, number))

    def _end(self, number, id, token, attempt):
        self.ended.add((id, token))

    def _settled(self, number, id, token, attempt):
        self.settled[id, token, attempt] = number

    def _heir(self, number, token, id):
        self.heirs[token].add(id)


def audit_changes(books):
    """Each job ends as the last call has made it, never goes back to an earlier one, and does nothing twice."""
    ids = [id for id in books.asked if id not in DEATHS]
    for id in ids:
        order = {token: at for at, token in enumerate(books.asked[id])}
        places = [order[token] for token, _, _ in books.runs[id]]
        assert places == sorted(places), (id, "an earlier one came after a later one", books.runs[id][-20:])
        last = books.runs[id][-1][0]
        assert order[last] >= order[books.acked[id][-1]], (id, "the last that was acknowledged is lost", last)
        assert (id, last) in books.ended, (id, last)
        for token, attempt, line in books.runs[id]:
            settled = books.settled.get((id, token, attempt), line)
            assert line <= settled, (id, token, attempt, "came again, though it was settled")
    return len(ids)


def audit_heirs(books, dead):
    """Each death has one heir, and each heir a death: those in a handler, and those that opening the file has found."""
    died = [token for target, token, reason in dead]
    assert {(target, reason) for target, _, reason in dead} <= set(DEATHS.items())
    assert len(died) == len(set(died)), "listed twice"
    mortal, fleeting = ({token for target, token, _ in dead if target == of} for of in DEATHS)
    assert set(books.acked["mortal"]) <= mortal <= set(books.asked["mortal"])
    ended = {token for target, token in books.ended if target == "fleeting"}
    assert set(books.acked["fleeting"]) <= fleeting | ended
    assert fleeting <= set(books.asked["fleeting"])
    assert set(books.heirs) == set(died)
    doubled = {token: ids for token, ids in books.heirs.items() if len(ids) > 1}
    assert not doubled, doubled
    return len(died)


TRUE = """
ask j 1 / ack j 1 / run j 1 1 0 / ask j 2 / ack j 2 / end j 1 1 / settled j 1 1
run j 2 1 1 / run j 2 1 last / end j 2 1
ask mortal m / ack mortal m / run mortal m 1 0 / run mortal m 1 1 / run undertaker m 1 1 / heir m h1 / heir m h1
ask fleeting e / ack fleeting e / run fleeting e 1 0 / end fleeting e 1
ask fleeting f / ack fleeting f / run fleeting f 1 0 / run undertaker f 1 1 / heir f h2
"""
DEAD = [("mortal", "m", "discarded"), ("fleeting", "f", "interrupted")]


def audited(lines, dead=DEAD):
    books = Books(line.split() for line in lines.replace("\n", " / ").split(" / ") if line)
    return audit_changes(books), audit_heirs(books, dead)


@pytest.mark.parametrize(
    ("true", "false", "dead"),
    [
        ("run j 2 1 1 / run j 2 1 last / end j 2 1", "ask j 3", DEAD),  # the last that was acknowledged never came
        ("end j 2 1", "run j 2 2 last", DEAD),  # it came, and never ended
        ("run j 2 1 1 / ", "run j 2 1 1 / run j 1 1 1 / ", DEAD),  # what it was before came again
        ("run j 2 1 1 / ", "run j 1 1 1 / run j 2 1 1 / ", DEAD),  # what was settled came again
        ("heir m h1 / heir m h1", "heir m h1 / heir m h2", DEAD),
        ("heir m h1 / heir m h1", "", DEAD),
        ("ask mortal m", "ask mortal m / ask mortal n / ack mortal n", DEAD),  # lost before it died
        ("heir m h1", "heir m h1", DEAD * 2),
        ("heir m h1", "heir m h1", [("mortal", "m", "interrupted"), DEAD[1]]),
        ("heir f h2", "heir f h2 / heir f h3", DEAD),
        ("heir f h2", "", DEAD),
        ("end fleeting e 1", "", DEAD),  # it neither ended nor died
        ("heir f h2", "heir f h2 / heir e h4", DEAD),  # of one that has succeeded
    ],
)
def test_the_audit_refuses_books_that_are_false(true, false, dead):
    assert audited(TRUE) == (1, 2)
    assert true in TRUE
    with pytest.raises(AssertionError):
        audited(TRUE.replace(true, false), dead)


def killed(children, path, lines, storage, kills, record):
    dice = random.Random(time.time_ns())
    told = {"path": path, "workers": WORKERS, "storage": storage}
    for life in range(kills):
        seed = dice.randrange(2**32)
        child = children.start("change", program=FOLLOWED, life=life, seed=seed, threads=THREADS, **told)
        assert child.stdout.readline(), child.communicate(timeout=50)[1].decode()
        time.sleep(dice.uniform(0, dice.choice([0.02, 0.4])))  # soon: while it takes up what is owed
        status = child.poll()
        _, err = children.kill(child)
        assert (status, err) == (None, ""), "it ended by itself"
    last = children.start("finish", program=FOLLOWED, **told)
    done = children.answer(last)
    assert last.wait(50) == 0
    assert (done["over"], done["left"]) == (True, 0)
    books = Books(lines)
    figures = {
        "kills": kills,
        "jobs that were changed": audit_changes(books),
        "changes acknowledged": sum(len(acked) for id, acked in books.acked.items() if id not in DEATHS),
        "starts": sum(len(runs) for runs in books.runs.values()),
        "known as settled": len(books.settled),
        "heirs": audit_heirs(books, done["dead"]),
        "heirs of interrupted": sum(reason == "interrupted" for _, _, reason in done["dead"]),
    }
    for name, value in figures.items():
        record(name, value)
    print(figures)  # noqa: T201 - with -s, and in the report of a failure
    return figures


@pytest.mark.parametrize("way", WAYS)
def test_a_few_kills_lose_and_double_nothing_that_follows(children, path, lines, record_property, way):
    figures = killed(children, path, lines, WAYS[way], 4, record_property)
    assert figures["changes acknowledged"] > 0


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("way", WAYS)
def test_kills_lose_and_double_nothing_that_follows(children, path, lines, record_property, way):
    kills = max(1, round(int(os.environ.get("DUEWHEEL_KILLS", "2000")) / 10 / len(WAYS)))
    figures = killed(children, path, lines, WAYS[way], kills, record_property)
    assert figures["known as settled"] > 0
    assert figures["heirs"] > figures["heirs of interrupted"] > 0
