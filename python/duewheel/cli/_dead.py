"""The verbs of jobs that ended as dead: dead, revive, purge."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from duewheel.cli._call import refusing
from duewheel.cli._ends import FINE, FOUND, EndsError
from duewheel.cli._jobs import table_limit
from duewheel.cli._output import at_local_exactly, at_utc, counted
from duewheel.cli._shown import DEAD, dead_fields, dead_row
from duewheel.cli._when import moment, read_before
from duewheel.errors import DuplicateJobError

if TYPE_CHECKING:
    from duewheel.cli._call import Call
    from duewheel.cli._reach import Reached


def dead(call: Call) -> int:
    """List the jobs that ended as dead, newest first."""
    args, out = call.args, call.out
    before = None if args.before is None else moment(read_before(args.before, args.tz))
    limit = table_limit(call)
    with call.reach() as reached:
        with refusing():
            found = reached.calls.dead(target=args.target, before=before, limit=None if limit is None else limit + 1)
        if out.as_json:
            for at, one in enumerate(found):
                if at != limit:
                    out.record(**dead_fields(one))
            return FINE
        now_ns = time.time_ns()
        if not out.table(DEAD, (dead_row(one, now_ns) for one in found), limit):
            out.text("no job is dead" + (" that is asked for" if args.target or before else ""))
    return FINE


def revive(call: Call) -> int:
    """Make dead jobs due now, from attempt 1: those of the ids, or all, or all of a target."""
    args = call.args
    if bool(args.ids) == args.all:
        raise EndsError("say the ids of dead jobs, or --all: one of the two")
    if args.target is not None and not args.all:
        raise EndsError("--target is for --all: the ids say which jobs")
    with call.reach() as reached:
        if not args.all:
            return call.each(args.ids, reached.calls.revive, "revived", "no dead job has this id")
        revived, taken = _revive_all(reached, args.target)
    call.out.say(f"revived {counted(revived, 'job')}", revived=revived, taken=len(taken))
    for job_id in taken[:10]:
        call.out.error(f"{job_id}: not revived: a job of this id is pending or running")
    if len(taken) > 10:
        call.out.error(f"and {len(taken) - 10} more were not revived for that")
    return FOUND if taken else FINE


def _revive_all(reached: Reached, target: str | None) -> tuple[int, list[str]]:
    """Revive the newest dead job of each id; return how many, and the ids that other jobs have taken."""
    revived, seen, taken = 0, set(), []
    with refusing():
        for one in reached.calls.dead(target=target):
            job_id = one.event.job_id
            if job_id in seen:
                continue
            seen.add(job_id)
            try:
                revived += reached.calls.revive(job_id)
            except DuplicateJobError:
                taken.append(job_id)
    return revived, taken


def purge(call: Call) -> int:
    """Forget dead jobs: those of the ids, or what died before a time."""
    args, out = call.args, call.out
    if bool(args.ids) == (args.before is not None):
        raise EndsError("say the ids of dead jobs, or --before and a time: one of the two")
    if args.ids:
        if args.dry_run:
            raise EndsError("--dry-run is for --before: `duewheel show ID` shows what would be forgotten")
        with call.reach() as reached:
            forget = reached.calls.purge
            return call.each(args.ids, lambda one: forget(ids=[one]) > 0, "forgotten", "no dead job has this id")
    before_ns = read_before(args.before, args.tz)
    before = moment(before_ns)
    with call.reach() as reached, refusing():
        calls = reached.calls
        count = sum(1 for _ in calls.dead(before=before)) if args.dry_run else calls.purge(before)
    would = "would forget" if args.dry_run else "forgot"
    text = f"{would} {counted(count, 'dead job')} that died before {at_local_exactly(before_ns)}"
    out.say(text, purged=count, before=before_ns, before_at=at_utc(before_ns), dry_run=args.dry_run)
    return FINE
