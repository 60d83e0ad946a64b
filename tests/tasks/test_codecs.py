"""The codecs: what each stores, as bytes that later versions have to read, and gives back."""

import importlib.metadata
import sys
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duewheel import ConfigError, Event, Scheduler, codecs
from duewheel._signature import read

CODECS = ["json", "msgspec", "pydantic"]


class Kind(Enum):
    WEEKLY = "weekly"


@dataclass
class Address:
    street: str
    zip: int | None = None


class Point(NamedTuple):
    x: int
    y: int


def plain(user_id: int, lang: str = "en", /, *more: float, urgent: bool = False, **labels: list[str]) -> str: ...


def rich(event: Event, to: Address, when: datetime, kind: Kind = Kind.WEEKLY, *, points: tuple[Point, ...] = ()): ...


def made(name, fn):
    for package in () if name == "json" else (name,):
        pytest.importorskip(package)
    signature, _ = read(fn)
    return codecs.find(name, signature)


WHEN = datetime(2027, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
GOLDEN = {
    "json": [
        (plain, (5,), {}, b'{"user_id":5}'),
        (plain, (5, "fr"), {"urgent": True}, b'{"user_id":5,"lang":"fr","urgent":true}'),
        (
            plain,
            (5, "f\u00e9\ud83d", 1.5, 2.0),
            {"user_id": ["x"]},
            b'{"user_id":5,"lang":"f\\u00e9\\ud83d","more":[1.5,2.0],"labels":{"user_id":["x"]}}',
        ),
        (
            plain,
            (-(10**30), 'a"\\\n\x00\u2028'),
            {},
            b'{"user_id":-1%s,"lang":"a\\"\\\\\\n\\u0000\\u2028"}' % (b"0" * 30),
        ),
        (plain, (None, True), {"urgent": False}, b'{"user_id":null,"lang":true,"urgent":false}'),
    ],
    "msgspec": [
        (plain, (5,), {}, b'{"user_id":5}'),
        (plain, (5, "fr", 1.5), {"k": ["x"]}, b'{"user_id":5,"lang":"fr","more":[1.5],"labels":{"k":["x"]}}'),
        (
            rich,
            (Address("a"), WHEN),
            {"points": (Point(1, 2),)},
            b'{"to":{"street":"a","zip":null},"when":"2027-01-02T03:04:05.000006Z","points":[[1,2]]}',
        ),
    ],
    "pydantic": [
        (plain, (5,), {}, b'{"user_id":5}'),
        (plain, (5, "fr", 1.5), {"k": ["x"]}, b'{"user_id":5,"lang":"fr","more":[1.5],"labels":{"k":["x"]}}'),
        (
            rich,
            (Address("a"), WHEN, Kind.WEEKLY),
            {"points": (Point(1, 2),)},
            b'{"to":{"street":"a","zip":null},"when":"2027-01-02T03:04:05.000006Z","kind":"weekly","points":[[1,2]]}',
        ),
    ],
}
"""Bytes as they are in files of users: every later version gives back the same arguments."""


@pytest.mark.parametrize(("name", "at"), [(name, at) for name, cases in GOLDEN.items() for at in range(len(cases))])
def test_golden_bytes(name, at):
    fn, args, kwargs, stored = GOLDEN[name][at]
    codec = made(name, fn)
    assert codec.dumps(args, kwargs) == stored
    found, by_name = codec.loads(stored)

    def bound(*args, **kwargs):
        signature, _ = read(fn)
        call = signature.bind(*args, **kwargs)
        return call.arguments

    assert bound(*found, **by_name) == bound(*args, **kwargs)


@pytest.mark.parametrize("name", CODECS)
def test_arguments_that_another_of_them_has_stored(name):
    """All three store arguments by name: a task may change its codec while its jobs wait."""
    codec = made(name, plain)
    for other in CODECS:
        args, _ = codec.loads(GOLDEN[other][1][3])
        assert args[:2] == [5, "fr"]


@pytest.mark.parametrize("name", CODECS)
def test_no_data_is_no_arguments(name):
    assert made(name, lambda: None).loads(b"") == ([], {})


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=8,
)


@given(args=st.lists(PLAIN, max_size=5), kwargs=st.dictionaries(st.text(), PLAIN, max_size=5))
def test_json_gives_back_what_it_takes(args, kwargs):
    def fn(*args, **kwargs): ...

    codec = made("json", fn)
    found, by_name = codec.loads(codec.dumps(tuple(args), kwargs))
    assert (found, by_name) == (args, kwargs)
    assert codec.loads_result(codec.dumps_result(kwargs)) == kwargs


@given(value=PLAIN | st.tuples(PLAIN) | st.dictionaries(st.integers() | st.booleans(), PLAIN) | st.just([float("nan")]))
def test_json_gives_back_equal_or_refuses(value):
    codec = made("json", lambda a: None)
    try:
        data = codec.dumps((value,), {})
    except TypeError:
        return
    assert codec.loads(data)[1] == {"a": value}


def everything(
    a: date, b: timedelta, c: uuid.UUID, d: Decimal, e: bytes, f: set[int], g: dict[int, Kind], h: float = 0.0
) -> dict[str, Address]: ...


EVERYTHING = (
    date(2027, 1, 2), timedelta(days=1, microseconds=1), uuid.UUID(int=5), Decimal("1.10"), b"\xff\x00", {1, 2},
    {1: Kind.WEEKLY},
)  # fmt: skip


@pytest.mark.parametrize("name", ["msgspec", "pydantic"])
def test_annotations_give_back_what_json_has_no_words_for(name):
    codec = made(name, everything)
    args, kwargs = codec.loads(codec.dumps(EVERYTHING, {}))
    assert not args and tuple(kwargs.values()) == EVERYTHING
    result = {"x": Address("a", 5)}
    assert codec.loads_result(codec.dumps_result(result)) == result


def test_pydantic_keeps_what_json_has_no_number_for():
    codec = made("pydantic", everything)
    assert codec.loads(codec.dumps(EVERYTHING, {"h": float("inf")}))[1]["h"] == float("inf")


def test_pydantic_coerces_at_the_call():
    assert made("pydantic", rich).dumps(({"street": "a"}, "2027-01-02T03:04:05Z"), {}) == (
        b'{"to":{"street":"a","zip":null},"when":"2027-01-02T03:04:05Z"}'
    )


@pytest.mark.parametrize("name", ["msgspec", "pydantic"])
def test_values_that_annotations_do_not_take_are_refused_at_the_call(name):
    codec = made(name, plain)
    for args in (("x",), (5, "en", "much"), (None,), (object(),)):
        with pytest.raises(TypeError, match="the arguments cannot be stored"):
            codec.dumps(args, {})
    with pytest.raises(TypeError, match="the result cannot be stored"):
        codec.dumps_result(object())


@pytest.mark.parametrize("name", ["msgspec", "pydantic"])
def test_a_name_that_the_function_has_no_longer_is_not_passed_over(name):
    with pytest.raises(Exception, match="gone"):
        made(name, lambda a: None).loads(b'{"a":1,"gone":2}')


@pytest.mark.parametrize("name", ["msgspec", "pydantic"])
def test_annotations_that_cannot_be_found(name):
    def fn(a): ...

    fn.__annotations__["a"] = "Nowhere"
    with pytest.raises(TypeError, match=f"the annotation of 'a' cannot be found: 'Nowhere': the codec '{name}' needs"):
        made(name, fn)


def test_pydantic_models():
    pydantic = pytest.importorskip("pydantic")

    class Order(pydantic.BaseModel):
        number: int = pydantic.Field(alias="no", gt=0)
        key: uuid.UUID = pydantic.Field(default_factory=uuid.uuid4)

    def ship(order, /, *, at=None): ...

    ship.__annotations__ = {"order": Order, "at": datetime | None, "return": Order}
    codec = made("pydantic", ship)
    order = Order(no=5)
    (found,), _ = codec.loads(codec.dumps((order,), {}))
    assert found == order  # its key, too, which a default had made
    assert codec.loads_result(codec.dumps_result(order)) == order
    with pytest.raises(TypeError, match="greater than 0"):
        codec.dumps(({"no": 0},), {})


class Words:
    """A codec of somebody else."""

    def dumps(self, args, kwargs):
        return " ".join(args).encode()

    def loads(self, data):
        return data.decode().split(), {}

    def dumps_result(self, value):
        return str(value).encode()

    def loads_result(self, data):
        return data.decode()


class OfSignature:
    """One that wants to know the function."""

    def for_signature(self, signature):
        self.names = list(signature.parameters)
        return Words()


def test_a_codec_that_is_given_as_an_object():
    ran = []
    with Scheduler() as scheduler:
        task = scheduler.task("t", codec=Words())(lambda *words: ran.append(words))
        assert scheduler.get(task.in_(60, "a", "b")).data == b"a b"
        of_signature = OfSignature()
        other = scheduler.task("u", codec=of_signature)(lambda one, two: ran.append((one, two)))
        assert of_signature.names == ["one", "two"]
        other.in_(0, "c", "d")
        assert scheduler.stats().scheduled == 2
        while not ran:
            pass
        scheduler.close()
    assert ran == [("c", "d")]


@pytest.fixture
def entry(monkeypatch):
    """An entry point `words` of the group."""

    def set_to(value):
        found = importlib.metadata.EntryPoint("words", value, "duewheel.codecs")

        def entry_points(*, group, name="words"):
            return [found] if (group, name) == ("duewheel.codecs", "words") else []

        monkeypatch.setattr(codecs, "entry_points", entry_points)

    return set_to


def test_a_codec_of_an_entry_point(entry, monkeypatch):
    module = type(sys)("their_codec")
    module.words = Words()
    monkeypatch.setitem(sys.modules, "their_codec", module)
    entry("their_codec:words")
    assert codecs.find("words", None) is module.words
    assert codecs.names() == ["json", "msgspec", "pydantic", "words"]
    entry("their_codec:nothing")
    with pytest.raises(ConfigError, match=r"codec 'words' \(their_codec:nothing\) does not load"):
        codecs.find("words", None)


@pytest.mark.parametrize("name", ["msgspec", "pydantic"])
def test_a_package_that_is_not_installed(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"duewheel.codecs._{name}", raising=False)
    with pytest.raises(ConfigError, match=rf"needs a package: pip install 'duewheel\[{name}\]'"):
        codecs.find(name, read(plain)[0])
