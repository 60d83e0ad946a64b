"""The verbs of jobs that come again: repeats, pause, resume, trigger, cron."""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING, Any

from duewheel._core import Cron
from duewheel.cli._call import refusing
from duewheel.cli._ends import FINE, FOUND, EndsError
from duewheel.cli._jobs import table_limit
from duewheel.cli._output import at_utc
from duewheel.cli._shown import REPEATS, repeat_fields, repeat_row
from duewheel.cli._tables import plain
from duewheel.cli._when import moment, read_when, read_zone

if TYPE_CHECKING:
    from datetime import tzinfo

    from duewheel.cli._call import Call

_NONE = "there is no repeat of this id"
_NO_NEWS = {"paused": "is paused already", "resumed": "is not paused"}


def repeats(call: Call) -> int:
    """List the repeats, in the order of their dues."""
    out, limit = call.out, table_limit(call)
    with call.reach() as reached:
        found = (one for one in reached.calls.repeats() if call.args.target in (None, one.target))
        if out.as_json:
            for repeat in islice(found, limit):
                out.record(**repeat_fields(repeat))
            return FINE
        now_ns = time.time_ns()
        if not out.table(REPEATS, (repeat_row(repeat, now_ns) for repeat in found), limit):
            out.text("there are no repeats")
    return FINE


def pause(call: Call) -> int:
    """Hold repeats back, or all jobs of a target."""
    return _hold(call, "paused")


def resume(call: Call) -> int:
    """Let what is paused go on."""
    return _hold(call, "resumed")


def _hold(call: Call, done: str) -> int:
    args = call.args
    if bool(args.ids) == (args.target is not None):
        raise EndsError("say the ids of repeats, or --target and a target: one of the two")
    with call.reach() as reached:
        action: Any = reached.calls.pause if done == "paused" else reached.calls.resume
        if args.target is None:
            return call.each(args.ids, action, done, _NONE)
        with refusing():
            is_news = action(target=args.target)
        said = f"{done} {plain(args.target)}" if is_news else f"{plain(args.target)} {_NO_NEWS[done]}"
        call.out.say(said, target=args.target, **{done: is_news})
    return FINE


def trigger(call: Call) -> int:
    """Have repeats run once more, as soon as possible."""
    with call.reach() as reached:
        return call.each(call.args.ids, reached.calls.trigger, "triggered", _NONE)


def cron(call: Call) -> int:
    """Show the next times of a cron expression."""
    args, out = call.args, call.out
    after = None if args.after is None else moment(read_when(args.after, args.tz).wall_ns())
    zone = "UTC" if args.tz is None else args.tz
    with refusing():
        schedule = Cron(args.expression, tz=_zone_for(zone))
        if not out.as_json:
            for line in schedule.describe(args.number, after=after).splitlines():
                out.text(line)
            return FINE
        times = schedule.between(time.time() if after is None else after)
        shown = [when for when in islice(times, args.number + 1) if after is None or when > after][: args.number]
    for when in shown:
        ns = int(when.timestamp()) * 1_000_000_000
        out.record(at=ns, at_utc=at_utc(ns), local=when.isoformat())
    return FINE if shown else FOUND


def _zone_for(name: str) -> str | tzinfo:
    """Return a zone as schedules take it: by its name, or a fixed offset."""
    if name == "local":
        raise EndsError("a schedule needs the name of a zone, as Europe/Paris, not local: it is kept with the jobs")
    zone = read_zone(name)
    return zone if zone is not None and name[:1] in "+-" else name
