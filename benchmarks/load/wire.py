"""The few lines of HTTP that the harness speaks itself, over blocking sockets: large bodies and idle connections."""

import socket
from dataclasses import dataclass

_PIECE = 1 << 20
_HEAD_LIMIT = 1 << 16


@dataclass(frozen=True, slots=True)
class Head:
    """First line and fields (names in lower case) of a message, and what arrived of its body with them."""

    first: str
    fields: dict[str, str]
    rest: bytes

    @property
    def length(self) -> int:
        """Bytes of body. Raises ConnectionError when it is not a Content-Length that says so: nothing here writes
        anything else, so a proxy that does has changed the framing."""
        if "transfer-encoding" in self.fields:
            raise ConnectionError("the body came chunked")
        return int(self.fields.get("content-length", "0"))

    @property
    def status(self) -> int:
        """Of a response."""
        return int(self.first.split()[1])


def read_head(connection: socket.socket) -> Head | None:
    """The next head; None when the peer closed before it. Raises ConnectionError when it closed within."""
    received = bytearray()
    while (end := received.find(b"\r\n\r\n")) < 0:
        piece = connection.recv(_HEAD_LIMIT)
        if not piece:
            if not received:
                return None
            raise ConnectionError("the connection ended within a head")
        received += piece
        if len(received) > 2 * _HEAD_LIMIT:
            raise ConnectionError("a head without an end")
    first, *lines = received[:end].decode("latin-1").split("\r\n")
    pairs = (line.split(":", 1) for line in lines)
    return Head(first, {name.lower(): value.strip() for name, value in pairs}, bytes(received[end + 4 :]))


def discard(connection: socket.socket, count: int) -> None:
    """Takes `count` bytes off the connection. MSG_TRUNC: the kernel drops them without a copy, so the client costs
    the shared cores as little as it can. Raises ConnectionError when the peer closed before."""
    buffer = bytearray(min(count, _PIECE))
    while count:
        dropped = connection.recv_into(buffer, min(count, _PIECE), socket.MSG_TRUNC)
        if not dropped:
            raise ConnectionError(f"the connection ended {count} bytes before the body's end")
        count -= dropped


def exchange(connection: socket.socket, request: bytes) -> int:
    """One request without a body; the response's body is dropped. Returns the status."""
    connection.sendall(request)
    head = read_head(connection)
    if head is None:
        raise ConnectionError("closed without an answer")
    discard(connection, head.length - len(head.rest))
    return head.status


def get(port: int, path: str) -> bytes:
    """The bytes of a GET."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
