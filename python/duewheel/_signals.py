"""Signals that end `run`: while it runs they are noted, not raised, and their former handlers are put back."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable, Iterable, Iterator
    from socket import socket

ENDS = (signal.SIGINT, signal.SIGTERM)
"""The signals that end `run` unless others are given: of Ctrl-C, and of systemd, Kubernetes and Docker."""

LOOKS_EVERY_S = 0.1
"""How often a wait that gives up the interpreter looks for signals."""


def checked(signals: Iterable[int]) -> tuple[int, ...]:
    """Return signals as numbers, each once; refuse what is no signal, or cannot be handled."""
    if isinstance(signals, str | bytes):
        raise TypeError(f"signals must be numbers of signals, such as (signal.SIGTERM,), not {signals!r}")
    try:
        given = tuple(signals)
    except TypeError:
        raise TypeError(f"signals must be a sequence, such as (signal.SIGTERM,), not {signals!r}") from None
    valid = signal.valid_signals()
    for number in given:
        if isinstance(number, bool) or not isinstance(number, int):
            raise TypeError(f"signals must be numbers of signals, such as signal.SIGTERM, not {number!r}")
        if number not in valid:
            raise ValueError(f"signals: {number!r} is no signal of this system")
        if number in (getattr(signal, "SIGKILL", None), getattr(signal, "SIGSTOP", None)):
            raise ValueError(f"signals: {signal.Signals(number).name} cannot be handled by any process")
    return tuple(dict.fromkeys(map(int, given)))


@contextlib.contextmanager
def noted(numbers: Iterable[int], call: Callable[[], object]) -> Iterator[list[int]]:
    """Note received signals in a list, and call `call` after each; in another thread than the main one, none.

    A signal whose handler was not set from Python keeps it: it could not be put back.
    """
    received: list[int] = []
    former: dict[int, Any] = {}
    process = os.getpid()

    def note(number: int, _frame: object) -> None:
        if os.getpid() != process:
            # Not in a child that was forked meanwhile: there the former handler is called.
            signal.signal(number, former[number])
            signal.raise_signal(number)
            return
        received.append(number)
        call()

    try:
        if threading.current_thread() is threading.main_thread():
            for number in numbers:
                handler = signal.getsignal(number)
                if handler is not None:
                    former[number] = handler
                    signal.signal(number, note)
        yield received
    finally:
        # That of Ctrl-C last: it raises as soon as it is back.
        for number in sorted(former, key=lambda number: number == signal.SIGINT):
            signal.signal(number, former[number])


@contextlib.contextmanager
def waking(loop: AbstractEventLoop) -> Iterator[None]:
    """Let signals wake a loop that runs in the main thread: a handler in Python is not called while it sleeps."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    present = signal.set_wakeup_fd(-1)
    if present != -1:
        # A loop that reads signals by itself, as uvloop's.
        signal.set_wakeup_fd(present)
        yield
        return
    from socket import socketpair  # asyncio has imported it

    reader, writer = socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    try:
        loop.add_reader(reader, _empty, reader)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        yield
    finally:
        present = signal.set_wakeup_fd(-1)
        if present != writer.fileno():
            signal.set_wakeup_fd(present)
        loop.remove_reader(reader)
        reader.close()
        writer.close()


def _empty(reader: socket) -> None:
    with contextlib.suppress(BlockingIOError):
        reader.recv(4_096)


@contextlib.contextmanager
def noted_on(loop: AbstractEventLoop, numbers: Iterable[int], call: Callable[[], object]) -> Iterator[list[int]]:
    """Note signals as `noted` does, while the loop runs, and call `call` on it after each."""
    with (
        waking(loop) if numbers else contextlib.nullcontext(),
        noted(numbers, lambda: loop.call_soon_threadsafe(call)) as received,
    ):
        yield received
