"""A proxy between nodes and a server of PostgreSQL that knows where messages begin and end, and cuts, stalls or halves
one of them.

It takes what each side says message by message, numbers the messages from the moment it is told to, and does at one of
them what it is told. A connection that is cut is cut on both sides; the next one passes.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

CUT = "cut"
"""The message is dropped, and the connection with it."""
HALF = "half"
"""Half of the message is passed, then the connection is cut."""
STALL = "stall"
"""The message and all that follow are kept, and the connection stays open until its client ends it."""
MUTE = "mute"
"""The message is passed, and no reply any more; once the server is done with the transaction, the connection is cut."""
LATE = "late"
"""The message and what follows of its transaction is kept, and the client is cut off; see `Proxy.deliver_late`."""
GONE = "gone"
"""The message and all that either side says later get lost, and neither hears that the other has ended."""

STARTUP = 196_608
IS_DONE = (b"Z", b"I")
"""What the server says at the end of a transaction."""


@dataclass(frozen=True)
class Message:
    """What one side says to the other: `kind` is its letter, or empty where a connection begins."""

    is_request: bool
    kind: bytes
    body: bytes

    @property
    def raw(self) -> bytes:
        return self.kind + struct.pack("!i", len(self.body) + 4) + self.body


class Proxy:
    """Passes connections on to a server, on the loopback interface."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.server = (parts.hostname or "127.0.0.1", parts.port or 5432)
        self.listener = socket.create_server(("127.0.0.1", 0))
        at = f"{parts.username}@" if parts.username else ""
        self.url = f"postgresql://{at}127.0.0.1:{self.listener.getsockname()[1]}{parts.path}"
        self.lock = threading.Lock()
        self.ended = threading.Condition(self.lock)
        self.chosen: Callable[[Message], bool] | None = None
        self.fault = CUT
        self.late: Connection | None = None
        self.fired = threading.Event()
        self.open: set[Connection] = set()
        self.is_away = False
        threading.Thread(target=self.accept, daemon=True).start()

    def arm(self, chosen: Callable[[Message], bool], fault: str = CUT) -> None:
        """Do this at the first message from now on that is chosen, and only there."""
        with self.lock:
            self.chosen, self.fault = chosen, fault
            self.fired.clear()

    def disarm(self) -> None:
        with self.lock:
            self.chosen = None

    def deliver_late(self) -> None:
        """Give the server what was kept of a transaction, and wait until it is done with it."""
        late = self.late
        assert late is not None
        self.late = None
        late.server.sendall(b"".join(late.kept))
        assert late.is_done.wait(20)
        late.cut()

    def part(self) -> None:
        """From now on the server is out of reach."""
        with self.lock:
            self.is_away = True
            connections = list(self.open)
        for connection in connections:
            connection.cut()

    def join(self) -> None:
        """It is in reach again."""
        with self.lock:
            self.is_away = False

    def fault_of(self, message: Message) -> str | None:
        with self.lock:
            if self.chosen is None or not self.chosen(message):
                return None
            self.chosen = None
            self.fired.set()
            return self.fault

    def accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = None if self.is_away else socket.create_connection(self.server)
            except OSError:
                server = None
            if server is None:
                client.close()
                continue
            for side in (client, server):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(self, client, server)
            with self.lock:
                self.open.add(connection)
            connection.start()

    def close(self) -> None:
        # Or its thread goes on to accept.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            connections = list(self.open)
        for connection in connections:
            connection.kept, connection.is_gone = None, False
            connection.cut()
        with self.lock:
            assert self.ended.wait_for(lambda: not self.open, 20)


class Connection:
    """One connection, with a thread for each direction."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self.proxy, self.client, self.server = proxy, client, server
        self.is_mute = self.is_stalled = self.is_gone = False
        self.directions = 2
        self.kept: list[bytes] | None = None
        self.is_done = threading.Event()

    def start(self) -> None:
        for is_request in (True, False):
            threading.Thread(target=self.pass_on, args=(is_request,), daemon=True).start()

    def cut(self) -> None:
        for side in (self.client, self.server):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """One direction has ended."""
        if self.kept is None and not self.is_gone:
            self.cut()
        with self.proxy.lock:
            self.directions -= 1
            if self.directions:
                return
            self.client.close()
            self.server.close()
            self.proxy.open.discard(self)
            self.proxy.ended.notify_all()

    def pass_on(self, is_request: bool) -> None:
        source, target = (self.client, self.server) if is_request else (self.server, self.client)
        try:
            with contextlib.suppress(OSError, EOFError), source.makefile("rb") as stream:
                if is_request:
                    self.begin(stream)
                while True:
                    kind = read(stream, 1)
                    (length,) = struct.unpack("!i", read(stream, 4))
                    if not self.deliver(Message(is_request, kind, read(stream, length - 4)), target):
                        return
        finally:
            self.end()

    def begin(self, stream) -> None:
        while True:
            (length,) = struct.unpack("!i", read(stream, 4))
            body = read(stream, length - 4)
            if struct.unpack("!i", body[:4]) == (STARTUP,):
                return self.server.sendall(Message(True, b"", body).raw)
            self.client.sendall(b"N")  # no TLS here

    def deliver(self, message: Message, target: socket.socket) -> bool:
        """Pass a message on, or do to it what is to be done; `False`: nothing more is passed this way."""
        fault = self.proxy.fault_of(message)
        if fault == STALL:
            self.is_stalled = True
        self.is_gone |= fault == GONE
        if self.is_stalled or self.is_gone:
            return True
        if fault == HALF:
            target.sendall(message.raw[: len(message.raw) // 2])
        if fault in (CUT, HALF):
            self.cut()
            return False
        if fault == MUTE:
            self.is_mute = True
        if fault == LATE:
            self.kept = []
        if message.is_request and self.kept is not None:
            self.kept.append(message.raw)
            if message.body != b"COMMIT\0":
                return True
            self.proxy.late = self
            with contextlib.suppress(OSError):
                self.client.shutdown(socket.SHUT_RDWR)
            return False
        if not message.is_request and (self.is_mute or self.kept is not None):
            if (message.kind, message.body) == IS_DONE:
                self.is_done.set()
                if self.is_mute:
                    self.cut()
                return not self.is_mute
            return True
        target.sendall(message.raw)
        return True


def read(stream, count: int) -> bytes:
    found = stream.read(count)
    if len(found) < count:
        raise EOFError
    return found
