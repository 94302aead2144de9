"""A client that speaks in bytes: what is written is sent as it is, answers are taken apart by the test's own eyes."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Any

TIMEOUT = 15.0


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """A response with a Content-Length."""

    status: int
    fields: dict[str, str]  # names in lower case
    body: bytes

    def json(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.body)
        return told

    @property
    def reason(self) -> tuple[int, str]:
        """Status and slug of a problem."""
        return self.status, str(self.json()["reason"])


class RawClient:
    """One connection to a port of loopback."""

    def __init__(self, port: int, *, receive_buffer: int = 0) -> None:
        """receive_buffer: SO_RCVBUF in bytes, so that a client that does not read is soon felt."""
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(TIMEOUT)
        try:
            self.sock.connect(("127.0.0.1", port))
        except OSError:
            self.sock.close()
            raise
        self._left = b""

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sock.close()

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.sock.sendall(piece)

    def answer(self) -> RawAnswer:
        """The next response; AssertionError if the connection ends before it is whole."""
        while b"\r\n\r\n" not in self._left:
            self._more()
        head, _, self._left = self._left.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
        length = int(fields.get("content-length", "0"))
        while len(self._left) < length:
            self._more()
        body, self._left = self._left[:length], self._left[length:]
        return RawAnswer(int(lines[0].split()[1]), fields, body)

    def end(self) -> str:
        """How the connection ends: "closed" or "reset"; AssertionError if anything else comes."""
        try:
            data = self._left or self.sock.recv(65536)
        except ConnectionResetError:
            return "reset"
        assert data == b"", f"instead of the end: {data[:200]!r}"
        return "closed"

    def _more(self) -> None:
        data = self.sock.recv(65536)
        assert data, f"the connection ended after {self._left[:200]!r}"
        self._left += data
