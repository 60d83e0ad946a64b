"""Break how jobs come again, in ways that tests of Rust must notice: `python3 rust/engine/tests/mutants.py [name …]`.

Their times (rust/schedule), what of them runs (rust/model), and how the next occurrence follows (rust/engine). Works on
the checkout that it is called in, and puts every file back. Prints who survived. Takes some ten minutes.
"""

import pathlib
import sys

RUST = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(RUST))
import mutating  # noqa: E402 - it lies beside the crates

MODEL = "model/src/repeat.rs"
ENDING = "engine/src/engine/repeats/ending.rs"
TAKE_UP = "engine/src/engine/repeats/take_up.rs"
CHANGE = "engine/src/engine/calls/repeat_change.rs"
CALL = "engine/src/engine/calls/repeat.rs"
PLAN = "engine/src/jobs/repeats.rs"
CRON = "schedule/src/cron/mod.rs"
SEARCH = "schedule/src/schedule/search.rs"

MUTANTS = {
    # What runs of the times that were missed
    "run what none is to catch up": (MODEL, "CatchUp::None if is_missed =>", "CatchUp::None if false =>"),
    "take what is late for missed": (MODEL, "CatchUp::None if is_missed =>", "CatchUp::None =>"),
    "close the window a moment early": (
        MODEL,
        "now.saturating_sub(due) > window)",
        "now.saturating_sub(due) >= window)",
    ),
    "catch up with all or nothing": (
        MODEL,
        "pass(by_now.saturating_sub(window).saturating_sub(1))",
        "pass(by_now)",
    ),
    "forget the offset of a due": (MODEL, "let by_now = now.saturating_sub(offset);", "let by_now = now;"),
    "merge none": (MODEL, "let last = times.last(time, by_now);", "let last: Option<i64> = None;"),
    "count what runs as missed": (MODEL, "        && time < to\n", "        && time <= to\n"),
    # How the next occurrence follows
    "arm again from now": (ENDING, "Then::At(time) => time,", "Then::At(time) => time.max(now),"),
    "forget that it ran meanwhile": (ENDING, "repeat.set_since(boot);", "repeat.set_since(i64::MIN);"),
    "one more than its count": (ENDING, "standing.occurrence >= count", "standing.occurrence > count"),
    "take the attempt along": (ENDING, "..Progress::NEW", "..detail.progress()"),
    "lose what is wanted while it runs": (
        ENDING,
        "standing.triggered = standing.wanted.take();",
        "standing.triggered = None;",
    ),
    "go on when it was cancelled": (
        ENDING,
        "let is_over = is_last || repeat.is(Flag::Ends);",
        "let is_over = is_last;",
    ),
    "call a death a success": (
        ENDING,
        "        let occurrence = self.jobs.repeat(key).map(Repeat::occurrence);\n",
        "        let occurrence = self.jobs.repeat(key).map(Repeat::occurrence);\n"
        "        if let Some(repeat) = self.jobs.repeat_mut(key) { repeat.set_previous(execution.job_due); }\n",
    ),
    "have the old schedule say what follows an edit": (ENDING, "repeat_mut(key)?.set_then(then);", "repeat_mut(key)?;"),
    "read times of one clock on the other": (
        CALL,
        "on_wall(old, repeat.clock(), ahead)\n            .last\n            .saturating_sub(ahead)",
        "on_wall(old, repeat.clock(), ahead).last",
    ),
    "count a trigger among the times": (
        TAKE_UP,
        "            (true, false) if standing.triggered.is_some() => Then::At(time),\n",
        "",
    ),
    "take up a retry as the next one": (TAKE_UP, "} else if !self.is_first || standing", "} else if standing"),
    "catch up when it is resumed": (
        CHANGE,
        "repeat.change(|standing| (standing.time, standing.last) = (next, last));",
        "let _ = last;",
    ),
    "trigger what is triggered again": (
        CHANGE,
        "standing.triggered.is_some()) && !has_started",
        "standing.triggered.is_some()) && has_started",
    ),
    "run an edit at once": (
        CALL,
        "times.next(fresh.last).ok_or",
        "times.next(last).ok_or",
    ),
    "begin the grid of an edit anew": (CALL, "            anchor: last,\n            time,\n", ""),
    "run at the end": (PLAN, "end.is_none_or(|end| next < end)", "end.is_none_or(|end| next <= end)"),
    "run late at the end": (PLAN, "until.min(end.saturating_sub(1))", "until.min(end)"),
    # Their times
    "run a fixed time in both passes": (
        CRON,
        "let mut unseen = spans[0].unseen;",
        "let mut unseen = spans[0].local_start();",
    ),
    "run what a gap skips before it": (CRON, "(found - span.offset).max(span.start)", "(found - span.offset)"),
    "run what no clock has shown": (CRON, "if start < begins || start > found {", "if start < begins {"),
    "run a rhythm in one pass alone": (CRON, "if start < begins || start > found {", "if start > found {"),
    "take a rhythm for fixed": (CRON, "let found = if self.expression.is_fixed {", "let found = if true {"),
    "give the time that it is": (
        SEARCH,
        ".get(times.partition_point(|&time| time <= after))",
        ".get(times.partition_point(|&time| time < after))",
    ),
    "leave out the last moment": (
        SEARCH,
        "let before = times.partition_point(|&time| time <= until);",
        "let before = times.partition_point(|&time| time < until);",
    ),
    "stop at a time that is not the last": (
        SEARCH,
        "Some(found) => low = found,",
        "Some(found) => return Ok(Some(found)),",
    ),
}

TESTS = {
    "model": ["--package", "duewheel-model"],
    "engine": ["--package", "duewheel-engine", "--test", "repeats"],
    "schedule": ["--package", "duewheel-schedule"],
}


def command_of(file: str) -> list[str]:
    return ["cargo", "test", "--quiet", *TESTS[file.partition("/")[0]]]


if __name__ == "__main__":
    mutating.main(RUST, MUTANTS, command_of)
