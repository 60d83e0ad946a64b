"""Headers and keys over PostgreSQL, and what is said of an id that is taken."""

from waiting import PATIENCE_S, until

from duewheel import Discard

HEADERS = {"traceparent": "00-ab", "ténant": "\0ü"}


def test_headers_come_with_the_job_to_the_dead_and_back(node):
    seen = []

    def handler(event):
        seen.append(dict(event.job.headers))
        raise Discard("enough")

    here = node(handlers={"t": handler})
    here.in_(3_600, "far", id="far", headers=HEADERS, key="k")
    here.repeat(3_600, "far", id="again", headers=HEADERS)
    here.in_many([0, 0], "t", headers=HEADERS)
    until(lambda: len(seen) == 2)
    until(lambda: here.stats().dead == 2)
    assert seen == [HEADERS] * 2
    assert [dead.event.job.headers for dead in here.dead()] == [HEADERS] * 2
    assert here.get("far").job.headers == here.get("again").job.headers == HEADERS
    here.repeat(3_600, "far", id="again", headers={"other": "1"})
    assert here.get("again").job.headers == {"other": "1"}


def test_a_key_is_kept_on_a_node(node):
    ran = []
    here = node(handlers={"t": lambda event: ran.append(event.data)})
    here.in_many([0] * 20, "t", [b"%d" % number for number in range(20)], key="k")
    assert here.wait(4 * PATIENCE_S)
    assert ran == [b"%d" % number for number in range(20)]


def test_a_taken_id_is_ignored_and_not_changed(node):
    here, there = node(), node()
    here.in_(3_600, "t", b"one", id="j")
    assert there.in_(1, "t", b"two", id="j", on_conflict="ignore") == "j"
    assert there.get("j").data == b"one"
