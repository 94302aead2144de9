"""The clients of a soak: a steady mix at a bounded rate, with the clients among them that a gateway sees every day.

wrk has no rate and counts errors without their causes, so these are threads over blocking sockets. Each keeps to its
own timetable; a slot it was too late for is left out, so a slow gateway gets fewer requests, never a burst.
"""

import contextlib
import itertools
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from benchmarks.load.wire import discard, exchange, get, read_head
from benchmarks.load.workloads import BY_NAME
from benchmarks.soak.echo import accept_of
from benchmarks.soak.tally import Tally

WORKLOADS = tuple(BY_NAME[name] for name in ("small", "post-1k", "16k", "1m", "new-connection"))
"""What the instances must be able to answer."""
UPGRADE_PATH = "/upgrade"
"""The route of the instance that accepts upgrades."""
TIMEOUT = 20.0
"""Seconds without a byte after which a client calls its request failed."""

_KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 section 1.3
_ROUND_TRIPS = 20
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST


class Unexpected(Exception):
    """An answer that is not the right one."""


@dataclass(slots=True)
class Client:
    """One client's connection, and how many requests it has made."""

    port: int
    connection: socket.socket | None = None
    turn: Iterator[int] = field(default_factory=itertools.count)

    def connected(self) -> socket.socket:
        """The kept connection; a new one when there is none."""
        if self.connection is None:
            self.connection = socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT)
        return self.connection

    def close(self) -> None:
        """The next request comes on a new connection."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def request(self, method: str, size: int, body: int = 0, fields: str = "") -> bytes:
        """A request for a body of `size` bytes, sending one of `body` bytes."""
        lines = f"{method} /{size} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{fields}"
        return (lines + (f"Content-Length: {body}\r\n" if body else "") + "\r\n").encode() + b"x" * body


def _ask(client: Client, request: bytes) -> None:
    if (status := exchange(client.connected(), request)) != 200:
        raise Unexpected(f"status {status}")


def _get(client: Client) -> None:
    _ask(client, client.request("GET", 100))


def _post(client: Client) -> None:
    _ask(client, client.request("POST", 100, 1024))


def _medium(client: Client) -> None:
    _ask(client, client.request("GET", 16 * 1024))


def _new_connection(client: Client) -> None:
    _ask(client, client.request("GET", 100, fields="Connection: close\r\n"))
    if client.connected().recv(1):
        raise Unexpected("bytes after the answer")
    client.close()


def _slow(client: Client) -> None:
    """In turns: a request that takes a second to arrive, and a MiB that is read over a second."""
    if next(client.turn) % 2:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)  # before connecting: it sets the window
        client.connection = connection
        connection.settimeout(TIMEOUT)
        connection.connect(("127.0.0.1", client.port))
        connection.sendall(client.request("GET", 1 << 20))
        head = read_head(connection)
        if head is None or head.status != 200:
            raise Unexpected("no answer" if head is None else f"status {head.status}")
        left = head.length - len(head.rest)
        while left:
            discard(connection, min(left, 1 << 16))
            left -= min(left, 1 << 16)
            time.sleep(0.06)
    else:
        request = client.request("POST", 100, 1024)
        step = -(-len(request) // 10)
        *pieces, last = (request[start : start + step] for start in range(0, len(request), step))
        for piece in pieces:
            client.connected().sendall(piece)
            time.sleep(0.1)
        _ask(client, last)
    client.close()


def _websocket(client: Client) -> None:
    connection = client.connected()
    fields = f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {_KEY}\r\n"
    connection.sendall(get(client.port, UPGRADE_PATH).removesuffix(b"\r\n") + fields.encode() + b"\r\n")
    head = read_head(connection)
    if head is None or head.status != 101 or head.fields.get("sec-websocket-accept") != accept_of(_KEY):
        raise Unexpected("no answer" if head is None else f"status {head.status} or a wrong key")
    for number in range(_ROUND_TRIPS):
        frame = bytes([0x82, 0xFD]) + bytes([number]) * 129  # binary, masked, 125 bytes
        connection.sendall(frame)
        received = b""
        while len(received) < len(frame):
            if not (piece := connection.recv(4096)):
                raise Unexpected("the tunnel ended early")
            received += piece
        if received != frame:
            raise Unexpected("other bytes than were sent")
        time.sleep(0.05)
    if next(client.turn) % 2:
        connection.shutdown(socket.SHUT_WR)
        if connection.recv(1):
            raise Unexpected("bytes after the end")
    client.close()


def _abort(client: Client) -> None:
    """Goes away in turns within a head, within a body, before the answer, and within it; now by FIN, now by RST."""
    turn = next(client.turn)
    connection = client.connected()
    upload = client.request("POST", 100, 1024)
    request = (upload[:20], upload[:-512], client.request("GET", 16 * 1024), client.request("GET", 1 << 20))[turn % 4]
    connection.sendall(request)
    if turn % 4 == 3 and ((head := read_head(connection)) is None or head.status != 200):
        raise Unexpected("no answer" if head is None else f"status {head.status}")
    if turn // 4 % 2:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    client.close()


@dataclass(frozen=True, slots=True)
class Kind:
    """Clients of one kind."""

    name: str
    act: Callable[[Client], None]
    clients: int
    share: float = 0.0
    """Of the whole rate; 0: not part of it."""
    period: float = 0.0
    """Seconds between the requests of one client that is not part of the rate."""

    def pause(self, rate: float) -> float:
        """Seconds from one request of one client to its next."""
        return self.clients / (self.share * rate) if self.share else self.period


KINDS = (
    Kind("GET 100 B", _get, 6, share=0.5),
    Kind("POST 1 KiB", _post, 4, share=0.2),
    Kind("GET 16 KiB", _medium, 4, share=0.15),
    Kind("new connection", _new_connection, 4, share=0.15),
    Kind("slow client", _slow, 1, period=3.0),
    Kind("WebSocket", _websocket, 1, period=3.0),
    Kind("aborted client", _abort, 1, period=0.5),
)


def cause(error: Exception) -> str:
    """An error in words without figures, so that equal ones are counted together."""
    if isinstance(error, OSError) and error.errno is not None:
        return f"{type(error).__name__}: {error.strerror}"
    return (
        str(error) if isinstance(error, Unexpected) else f"{type(error).__name__}: {re.sub('[0-9]+', 'N', str(error))}"
    )


def _work(kind: Kind, port: int, pause: float, offset: float, tally: Tally, stop: threading.Event) -> None:
    client = Client(port)
    due = time.monotonic() + offset
    while not stop.wait(max(0.0, due - time.monotonic())):
        started = time.perf_counter()
        try:
            kind.act(client)
        except (OSError, ValueError, Unexpected) as error:
            client.close()
            tally.failed(kind.name, cause(error))
        else:
            tally.done(kind.name, (time.perf_counter() - started) * 1e6 if kind.share else None)
        now = time.monotonic()
        while due <= now:
            due += pause
    client.close()


@contextlib.contextmanager
def traffic(port: int, rate: float, tally: Tally) -> Iterator[None]:
    """All kinds of clients, until the block ends."""
    stop = threading.Event()
    threads = [
        threading.Thread(
            target=_work, args=(kind, port, kind.pause(rate), kind.pause(rate) * n / kind.clients, tally, stop)
        )
        for kind in KINDS
        for n in range(kind.clients)
    ]
    try:
        for thread in threads:
            thread.start()
        yield
    finally:
        stop.set()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
