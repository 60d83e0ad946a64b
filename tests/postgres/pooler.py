"""PgBouncer in front of a server, where it is installed: each transaction of a client has any connection of a few."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import pg_server

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
CONNECTIONS = 5
START_S = 10


def settings(server: str, port: int, home: Path) -> str:
    to = urlsplit(server)
    return f"""\
[databases]
* = host={to.hostname} port={to.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {home}/users
pool_mode = transaction
default_pool_size = {CONNECTIONS}
max_client_conn = 200
logfile = {home}/log
"""


class Pooler:
    """A pooler on the loopback interface, in transaction mode."""

    def __init__(self, server: str) -> None:
        assert PROGRAM is not None
        self.home = Path(tempfile.mkdtemp(prefix="duewheel-pooler-", dir="/tmp"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = urlsplit(server)._replace(netloc=f"postgres@127.0.0.1:{port}").geturl()
        (self.home / "settings.ini").write_text(settings(server, port, self.home))
        (self.home / "users").write_text('"postgres" ""\n')
        user = pg_server.unprivileged()  # it refuses to run as root, too
        if user is not None:
            for path in (self.home, *self.home.iterdir()):
                os.chown(path, user.pw_uid, user.pw_gid)
        self.process = subprocess.Popen(
            [PROGRAM, str(self.home / "settings.ini")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=user and user.pw_uid,
            group=user and user.pw_gid,
            extra_groups=None if user is None else [],
        )
        end = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError((self.home / "log").read_text()) from None
                time.sleep(0.02)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(START_S)
        shutil.rmtree(self.home)
