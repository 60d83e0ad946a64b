"""Breaks sources in ways that tests must notice, one after the other. What a crate's `tests/mutants.py` calls."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

TIMEOUT_S = 120
"""Many times what the tests take: whoever needs longer hangs."""

Mutant = tuple[str, str, str]
"""A file, a text that is in it once, and what stands there instead."""

ENVIRONMENT = {**os.environ, "PROPTEST_DISABLE_FAILURE_PERSISTENCE": "true"}
"""What fails because a mutant is in is no case to be kept."""


def failing(command: list[str]) -> list[str] | None:
    """Run the tests; returns those that fail, or nothing when it does not compile."""
    built = subprocess.run([*command, "--no-run"], capture_output=True, check=False)
    if built.returncode:
        print(built.stderr.decode()[-1500:])
        return None
    tested = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True, env=ENVIRONMENT
    )
    try:
        out, _ = tested.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(tested.pid, signal.SIGKILL)  # cargo alone would leave the test behind
        tested.communicate()
        return ["a test that hangs"]
    tests = [line.split()[1] for line in out.decode().splitlines() if line.startswith("---- ")]
    return tests or (["a test that dies"] if tested.returncode else [])


def run(name: str, path: Path, change: tuple[str, str], command: list[str]) -> bool:
    """Have one mutant in while the tests run, and print who notices; whether somebody does."""
    text, (old, new) = path.read_text(), change
    if text.count(old) != 1:
        sys.exit(f"{name}: {old!r} is {text.count(old)} times in {path}")
    try:
        path.write_text(text.replace(old, new))
        tests = failing(command)
    finally:
        path.write_text(text)
    word = "does not compile" if tests is None else "caught" if tests else "SURVIVED"
    print(f"{word}: {name} ({', '.join((tests or [])[:3])})", flush=True)
    return bool(tests)


def main(src: Path, mutants: dict[str, Mutant], command_of: Callable[[str], list[str]]) -> None:
    """Run the mutants that the command line names, or all; `command_of`: of a file, what runs its tests."""
    for number in (signal.SIGTERM, signal.SIGINT):  # else no file is put back, or, in the background, nothing ends
        signal.signal(number, lambda *_: sys.exit("stopped"))
    names = sys.argv[1:] or list(mutants)
    if unknown := set(names) - set(mutants):
        sys.exit(f"no such mutant: {', '.join(sorted(unknown))}")
    commands = {tuple(command_of(mutants[name][0])) for name in names}
    for command in sorted(commands):
        if (tests := failing(list(command))) != []:  # then being caught would mean nothing
            sys.exit(f"without a mutant: {tests}")
    caught = 0
    for name in names:
        file, old, new = mutants[name]
        caught += run(name, src / file, (old, new), command_of(file))
    print(f"{caught} of {len(names)} mutants are caught")
    sys.exit(caught < len(names))
