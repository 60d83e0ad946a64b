"""How a command ends: its exit status, and what it says where it cannot do what it was asked."""

from __future__ import annotations

FINE = 0
"""It was done, and nothing was found."""
FOUND = 1
"""Something was found: an id that is unknown or taken, a check that failed, a line that was not taken over."""
USAGE = 2
"""The command line says what cannot be: a verb, an option or a value that there is not."""
UNREACHABLE = 3
"""The jobs cannot be reached: no such file, another process has it, no server, the disk, a damaged file, a key."""
BROKEN_PIPE = 141
"""Who reads the output has gone: what a shell says of a program that SIGPIPE has ended."""
INTERRUPTED = 130
"""Ctrl-C: what a shell says of a program that SIGINT has ended."""


class EndsError(Exception):
    """End the command with a status, and say why on the standard error."""

    def __init__(self, message: str, status: int = USAGE) -> None:
        super().__init__(message)
        self.status = status
