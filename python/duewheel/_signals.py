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
"""What ends `run` unless other signals are given: Ctrl-C, and what systemd, Kubernetes and Docker send."""

LOOKS_EVERY_S = 0.1
"""How often a wait that gives up the interpreter looks for signals."""


def checked(signals: Iterable[int]) -> tuple[int, ...]:
    """Return signals as numbers, each once; refuse what is none, or cannot be handled."""
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
def noted(numbers: Iterable[int], tell: Callable[[], object]) -> Iterator[list[int]]:
    """Note what signals come, in a list, and call `tell` after each; in another thread than the main one, none do.

    A signal whose handler was not set from Python keeps it: it could not be put back.
    """
    received: list[int] = []
    former: dict[int, Any] = {}
    process = os.getpid()

    def note(number: int, _frame: object) -> None:
        if os.getpid() != process:
            # A child that was forked meanwhile is not ended by the end of what its parent runs.
            signal.signal(number, former[number])
            signal.raise_signal(number)
            return
        received.append(number)
        tell()

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
        # A loop that looks for signals by itself, as uvloop's.
        signal.set_wakeup_fd(present)
        yield
        return
    from socket import socketpair  # asyncio has imported it

    heard, told = socketpair()
    heard.setblocking(False)
    told.setblocking(False)
    try:
        loop.add_reader(heard, _hear, heard)
        signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
        yield
    finally:
        present = signal.set_wakeup_fd(-1)
        if present != told.fileno():
            signal.set_wakeup_fd(present)
        loop.remove_reader(heard)
        heard.close()
        told.close()


def _hear(heard: socket) -> None:
    with contextlib.suppress(BlockingIOError):
        heard.recv(4_096)
