"""How tables fit a width, and what a terminal is shown."""

import io
import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duewheel import Scheduler
from duewheel.cli import main
from duewheel.cli._output import Output, from_now, span
from duewheel.cli._shown import DEAD, JOBS, REPEATS
from duewheel.cli._tables import Layout, fitted, plain, width, wrapped
from duewheel.cli._watching import RUNNING, TARGETS

S = 10**9


@pytest.mark.parametrize("columns", [JOBS, DEAD, REPEATS, TARGETS, RUNNING], ids=len)
@pytest.mark.parametrize("room", [20, 40, 60, 80, 200, None])
@given(st.data())
def test_no_line_is_wider_than_its_room(columns, room, data):
    cell = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Cf", "Zl", "Zp"]), max_size=60)
    rows = data.draw(st.lists(st.tuples(*[cell] * len(columns)), min_size=1, max_size=4))
    layout = Layout(columns, rows, room)
    for line in [layout.title(), *map(layout.line, rows)]:
        assert room is None or width(line) <= room
    if room is None:
        assert all(row[-1].rstrip() in layout.line(row) for row in rows)


def test_an_id_is_whole_where_60_columns_are():
    uuid = "01a22b45-0008-74c7-a48a-3daa21054bca"
    rows = [("2027-01-01 00:00:00", "in 31d", "report.yearly.of.accounts", "2", uuid)]
    layout = Layout(JOBS, rows, 60)
    assert layout.line(rows[0]) == f"in 31d  report.yearly…  {uuid}"
    assert width(layout.line(rows[0])) <= 60


@given(st.text(max_size=50), st.integers(1, 60), st.sampled_from(["end", "middle"]))
def test_what_is_cut_fits_and_what_fits_is_not_cut(text, room, cut):
    short = fitted(text, room, cut)
    assert width(short) <= room
    assert short == text if width(text) <= room else "…" in short


@given(st.text(max_size=200), st.integers(2, 60))
def test_wrapped_text_is_all_there(text, room):
    lines = wrapped(text, room)
    assert all(width(line) <= room for line in lines)
    assert "".join(lines) == "".join(map(plain, text.splitlines()))


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "\x07", "\u202e", "\x9b1m"])
def test_nothing_that_a_terminal_obeys_is_shown(text):
    assert plain(text).isprintable() and len(plain(text)) > 1


def test_times_are_short():
    assert [span(s * S) for s in (0, 99, 100, 5_999, 6_000, 172_799, 172_800)] == "0s 99s 1m 99m 1h 47h 2d".split()
    assert (from_now(5 * S, 0), from_now(0, 5 * S), from_now(0, 0)) == ("in 5s", "5s ago", "in 0s")


@pytest.fixture
def many(path, quiet):
    """A file of jobs with long names, of which one is dead."""
    with Scheduler(path, workers=1) as scheduler:
        scheduler.handle("a.target.with.a.very.long.name.for.a.table", lambda event: 1 / 0)
        scheduler.in_(0, "a.target.with.a.very.long.name.for.a.table", retry_limit=0)
        scheduler.wait(10)
        for target in ("日本語" * 20, "x" * 255, "\x1b[31mred"):
            scheduler.in_(3_600, target)
        scheduler.in_(3_600, "t", "ä".encode() * 500, id="語" * 85)
        scheduler.repeat("0 9 * * mon,tue,wed,thu,fri", "t", tz="America/Argentina/Buenos_Aires", id="r" * 200)
    return path


@pytest.mark.parametrize(
    ("verb", "columns"),
    [(verb, 60) for verb in ("list", "dead", "repeats", "stats", "show", "doctor", "tail")]
    + [(verb, 30) for verb in ("list", "dead", "repeats", "show")],
)
def test_what_is_shown_fits_the_columns_that_there_are(cli, many, verb, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    arguments = {"show": ["語" * 85], "tail": ["--looks", "1"]}.get(verb, [])
    ended = cli(verb, *arguments, "-f", many)
    assert ended.out and all(width(line) <= columns for line in ended.out.splitlines())
    assert "\x1b" not in ended.out


def test_a_pipe_is_given_all_of_it(cli, many):
    assert "x" * 255 in cli("list", "-f", many).out


# A terminal


def on_a_terminal(monkeypatch, *arguments, columns=60):
    """Call the command line with a terminal as its standard output; what the terminal got."""
    import fcntl
    import struct
    import termios

    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(follower, "w", encoding="utf-8", newline="\n") as terminal, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        patch.setattr(sys, "__stdout__", terminal)  # whose size is asked for
        patch.setenv("TERM", "xterm")
        status = main([str(argument) for argument in arguments])
        terminal.flush()
        got = os.read(leader, 1 << 16).decode()
    os.close(leader)
    return status, got


@pytest.mark.skipif(sys.platform == "win32", reason="it has no pty")
def test_a_terminal_has_colours_and_its_width(many, monkeypatch):
    status, got = on_a_terminal(monkeypatch, "list", "-f", many)
    assert status == 0 and "\x1b[1m" in got and "\x1b[31m" not in got
    plain_lines = [line.replace("\x1b[1m", "").replace("\x1b[0m", "") for line in got.splitlines()]
    assert max(map(width, plain_lines)) <= 60
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[1m" not in on_a_terminal(monkeypatch, "list", "-f", many)[1]


@pytest.mark.skipif(sys.platform == "win32", reason="it has no pty")
def test_watching_draws_the_screen_anew(many, monkeypatch):
    got = on_a_terminal(monkeypatch, "stats", "--watch", "--looks", "2", "--every", "1ms", "-f", many)[1]
    assert got.count("\x1b[H\x1b[2J") == 2


def test_a_stream_that_has_no_such_characters_is_given_escapes():
    raw = io.BytesIO()
    out = Output(io.TextIOWrapper(raw, encoding="ascii"), io.StringIO())
    out.text("日本 ok")
    out.table(JOBS, [(("", "in 5s", "日本", "", "é"), "")])
    out.flush()
    assert raw.getvalue().startswith(b"\\u65e5\\u672c ok\n") and out.mark == "..."
