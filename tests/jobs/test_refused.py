"""Every refusal of what jobs carry and are asked: the same error from every scheduler, before anything is done."""

import asyncio
import inspect
import math

import pytest

import duewheel
from duewheel import ClosedError, NopScheduler, Scheduler, aio
from duewheel.reference import ReferenceScheduler
from duewheel.testing import ManualClock

CALLS = {"at": 4e9, "in_": 5, "at_many": [4e9], "in_many": [5], "repeat": 5}  # with a time for each
NAMES = [
    (5, TypeError, "{} must be a str, not 5"),
    (b"k", TypeError, "{} must be a str, not b'k'"),
    ("", ValueError, "{} must have 1 to 255 bytes of UTF-8, not 0: ''"),
    ("x" * 256, ValueError, "{} must have 1 to 255 bytes of UTF-8, not 256: 'x"),
    ("\ud800", ValueError, "{} must be valid Unicode, without lone surrogates: '\\ud800'"),
]
OF_IDS = ("interrupt", "outcome", "explain", "revive")
CARRIED = [
    ({"headers": 5}, TypeError, "headers must be a mapping of str to str, not 5"),
    ({"headers": ["ab"]}, TypeError, "headers must be a mapping of str to str, not ['ab']"),
    ({"headers": {"a": 5}}, TypeError, "headers must be a mapping of str to str, not of 'a' to 5"),
    ({"headers": {5: "a"}}, TypeError, "headers must be a mapping of str to str, not of 5 to 'a'"),
    ({"headers": {"\ud800": ""}}, ValueError, "headers must be valid Unicode, without lone surrogates: '\\ud800': ''"),
    ({"headers": {"a": "x" * 4096}}, ValueError, "headers must have at most 4096 bytes of UTF-8 in names and texts"),
    *(({"key": name}, kind, said.format("key")) for name, kind, said in NAMES),
]
KEEPS = [
    ({"keep": 0}, ValueError, "keep must be above 0 seconds: leave it out to keep nothing"),
    ({"keep": -1}, ValueError, "keep must not be negative"),
    ({"keep": math.nan}, ValueError, "keep must be finite, not nan"),
    ({"keep": 1e300}, OverflowError, "keep is out of range: 1e+300"),
    ({"keep": "1h"}, TypeError, "keep must be "),
    ({"keep": True}, TypeError, "keep must be "),
]
MUST = "on_conflict must be 'error', 'ignore', 'update' or 'replace', not "
CONFLICTS = [
    ({"on_conflict": "skip", "id": "j"}, ValueError, MUST + "'skip'"),
    ({"on_conflict": "UPDATE", "id": "j"}, ValueError, MUST + "'UPDATE'"),
    ({"on_conflict": 5, "id": "j"}, TypeError, MUST + "5"),
    ({"on_conflict": None, "id": "j"}, TypeError, MUST + "None"),
    ({"on_conflict": "ignore"}, ValueError, "the job that has the id: give it an id=, too"),
]
NO_CONFLICT = "() got an unexpected keyword argument 'on_conflict': it takes "
REFUSED = [
    *((call, (when, "t"), *row) for call, when in CALLS.items() for row in CARRIED),
    *((call, (when, "t"), *row) for call, when in CALLS.items() if call != "repeat" for row in KEEPS),
    ("repeat", (5, "t"), {"keep": 60}, TypeError, "Scheduler.repeat() got an unexpected keyword argument 'keep': it "),
    *((call, (CALLS[call], "t"), *row) for call in ("at", "in_") for row in CONFLICTS),
    *(
        (call, (CALLS[call], "t"), {"on_conflict": "ignore"}, TypeError, f"Scheduler.{call}{NO_CONFLICT}")
        for call in ("at_many", "in_many", "repeat")
    ),
    *((call, (name,), {}, kind, said.format("id")) for call in OF_IDS for name, kind, said in NAMES),
    ("outcome", ("j",), {}, LookupError, "no job has the id 'j', and no outcome of one is kept"),
    ("outcome", ("j",), {"timeout": -1}, ValueError, "timeout must not be negative"),
    ("outcome", ("j",), {"timeout": "x"}, TypeError, "timeout must be "),
    *(
        (call, (), {"target": name}, kind, said.format("target"))
        for call in ("dead", "between")
        for name, kind, said in NAMES
    ),
    ("dead", (), {"limit": -1}, ValueError, "limit must be "),
    ("dead", (), {"limit": "3"}, TypeError, "limit must be an int"),
    ("dead", (), {"limit": True}, TypeError, "limit must be an int"),
    ("dead", (), {"before": "x"}, TypeError, "before must be an aware datetime or unix seconds, not 'x'"),
    ("dead", (), {"before": math.nan}, ValueError, "before must be finite, not nan"),
]
PAUSES = [
    ((), {}, TypeError, "() takes the id of a repeat or target=…, one of them, and was given neither"),
    (("a",), {"target": "t"}, TypeError, "() takes the id of a repeat or target=…, one of them, and was given both"),
    *(((name,), {}, kind, said.format("id")) for name, kind, said in NAMES),
    *(((), {"target": name}, kind, said.format("target")) for name, kind, said in NAMES),
]
PAUSED = [(call, *row) for call in ("pause", "resume") for row in PAUSES]


async def answer(scheduler, call, arguments, keywords):
    """Make a call, and await it where that is how it is made."""
    made = getattr(scheduler, call)(*arguments, **keywords)
    if hasattr(made, "__anext__"):
        return [item async for item in made]
    return await made if inspect.isawaitable(made) else made


async def refuses(scheduler, rows):
    for call, arguments, keywords, kind, said in rows:
        with pytest.raises(kind) as raised:
            await answer(scheduler, call, arguments, keywords)
        assert said in str(raised.value), (call, arguments, keywords)
    left = await answer(scheduler, "between", (), {})
    assert list(left) == []


async def when_closed(scheduler):
    for call, arguments, keywords in [
        *((call, (when, "t"), {}) for call, when in CALLS.items()),
        *((call, ("j",), {}) for call in OF_IDS),
        ("pause", (), {"target": "t"}),
        ("resume", (), {"target": "t"}),
        ("dead", (), {"target": "t"}),
    ]:
        with pytest.raises(ClosedError):
            await answer(scheduler, call, arguments, keywords)


@pytest.mark.parametrize("kind", ["memory", "file", "reference"])
def test_calls_refuse_what_is_none(kind, path):
    if kind == "reference":
        scheduler = ReferenceScheduler(clock=ManualClock())
    else:
        scheduler = Scheduler(path if kind == "file" else None)
    asyncio.run(refuses(scheduler, REFUSED + PAUSED))
    scheduler.close()
    asyncio.run(when_closed(scheduler))


@pytest.mark.parametrize("in_file", [False, True])
def test_awaited_calls_do_so_too(in_file, path):
    async def main():
        async with aio.Scheduler(path if in_file else None) as scheduler:
            await refuses(scheduler, REFUSED + PAUSED)
        await when_closed(scheduler)

    asyncio.run(main())


def test_clients_of_a_file_do_so_before_they_ask_its_owner(path):
    async def awaited():
        async with aio.connect(path) as client:
            await refuses(client, REFUSED + PAUSED)
        await when_closed(client)

    with Scheduler(path, share=True) as owner:
        with duewheel.connect(path) as client:
            asyncio.run(refuses(client, REFUSED + PAUSED))
        asyncio.run(when_closed(client))
        asyncio.run(awaited())
        assert len(owner) == 0


def test_one_that_does_nothing_refuses_nothing():
    scheduler = NopScheduler()
    for call, arguments, keywords, _, _ in REFUSED + PAUSED:
        if call in ("outcome", "explain"):
            continue  # which say that it is discarded
        made = getattr(scheduler, call)(*arguments, **keywords)
        assert made is False or not any(made)
