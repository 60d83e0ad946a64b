"""A course of calls over a connection that is cut at each of its messages in turn: every call has its true answer,
what is acknowledged runs, and nothing runs twice."""

import collections
import itertools
import time

import proxy
import pytest

from duewheel import Consistency, DuplicateJobError, PostgresStorage, Scheduler

OPTIONS = {"poll": 0.02, "lease": 30.0, "timeout": 30.0}
ONCE = {"consistency": Consistency.AT_MOST_ONCE}
QUICK_S = 8
"""For so long cuts are tried in the quick tests, and each kind at least once."""


class Course:
    """A node that makes the same calls again and again, under other ids, and keeps books."""

    def __init__(self, url, schema):
        self.url, self.schema = url, schema
        self.starts = collections.Counter()
        self.number = 0
        self.node = None

    def open(self):
        self.node = Scheduler(PostgresStorage(self.url, schema=self.schema, **OPTIONS), workers=2)
        self.node.handle("work", self.work)
        self.node.handle("fail", self.fail)
        self.node.start()

    def work(self, event):
        self.starts[event.job_id] += 1

    def fail(self, event):
        self.starts[event.job_id] += 1
        if event.attempt <= int(event.data):
            raise ValueError("as it was told")

    def run(self):
        """The course; what it has scheduled to run, and how often each was to start."""
        node, self.number = self.node, self.number + 1
        a, b, c, d, e, f = (f"{letter}{self.number}" for letter in "abcdef")
        expected = {node.in_(0, "work"): 1}
        expected |= dict.fromkeys(node.in_many([0] * 3, "work"), 1)
        assert node.in_(60, "work", id=a) == a
        with pytest.raises(DuplicateJobError):
            node.in_(60, "work", id=a)
        assert node.cancel(a) is True
        assert node.cancel(a) is False
        assert node.in_(60, "work", id=b) == b
        assert node.reschedule(b, time.time()) is True
        assert node.reschedule(a, time.time()) is False
        node.in_(0, "work", id=c, **ONCE)
        node.in_(0, "fail", b"1", id=d, min_backoff=0.001, max_backoff=0.001)
        node.in_(0, "fail", b"2", id=e, retry_limit=1, min_backoff=0.001, max_backoff=0.001)
        expected |= {b: 1, c: 1, d: 2, e: 2}
        assert node.wait(60)
        assert self.starts == expected
        assert [dead.event.job_id for dead in node.dead()] == [e]
        assert node.revive(e) is True and node.revive(f) is False
        assert node.wait(60)
        assert self.starts[e] == 4
        assert node.purge() == 1
        node.in_(60, "work", id=f)
        assert node.drain(60)
        assert len(node) == 1 and node.cancel(f)
        node.start()
        self.starts.clear()


@pytest.fixture
def between(url):
    between = proxy.Proxy(url)
    yield between
    between.close()


@pytest.fixture
def course(between, schema):
    course = Course(between.url, schema)
    course.open()
    course.run()
    yield course
    course.node.close()


def counted(numbers, is_request):
    """Chooses the message of this number."""
    left = itertools.count()
    return lambda message: message.is_request == is_request and next(left) == numbers


def messages_of(between, course):
    """How many requests and replies a course has."""
    seen = collections.Counter()

    def sees(message):
        seen[message.is_request] += 1
        return False

    between.arm(sees)
    course.run()
    between.disarm()
    return seen


FAULTS = [(True, proxy.CUT), (True, proxy.HALF), (True, proxy.MUTE), (False, proxy.CUT), (False, proxy.HALF)]


def cut_at_each(between, course, step, first, until):
    """Run the course once for each cut; how many there were."""
    cuts = 0
    seen = messages_of(between, course)
    numbers = range(first, max(seen.values()), step)
    for number, (is_request, fault) in itertools.product(numbers, FAULTS):
        if time.monotonic() > until and cuts >= len(FAULTS):
            break
        between.arm(counted(number, is_request), fault)
        try:
            course.run()
        except BaseException as error:
            error.add_note(f"{fault} at {'request' if is_request else 'reply'} {number}")
            raise
        cuts += between.fired.is_set()
        between.disarm()
    return cuts


def test_a_course_that_is_cut_somewhere(between, course):
    assert cut_at_each(between, course, 61, 7, time.monotonic() + QUICK_S) >= len(FAULTS)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_a_course_that_is_cut_at_each_message(between, course):
    assert cut_at_each(between, course, 1, 0, float("inf")) > 1000


def open_and_close(between, url, schema, step, until):
    """Open a node, schedule and close it, once for each cut."""
    for number, (is_request, fault) in itertools.product(range(0, 200, step), FAULTS):
        if time.monotonic() > until:
            break
        between.arm(counted(number, is_request), fault)
        course = Course(between.url, schema)
        course.open()
        course.node.in_(60, "work", id="x")
        course.node.in_(5, "work", id="y")
        time.sleep(0.03)
        course.node.close()
        between.disarm()
        with Scheduler(PostgresStorage(url, schema=schema)) as near:
            assert len(near.nodes()) == 1, (number, fault)
            assert near.cancel("x") and near.cancel("y"), (number, fault)


def test_opening_and_closing_that_is_cut_somewhere(between, url, schema):
    open_and_close(between, url, schema, 23, time.monotonic() + QUICK_S)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
def test_opening_and_closing_that_is_cut_at_each_message(between, url, schema):
    open_and_close(between, url, schema, 1, float("inf"))
