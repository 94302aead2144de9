"""HTTP messages for the tests of the proxy: written by hand, and taken apart without the gateway's own parsers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Message:
    """An HTTP message taken apart by the test's own eyes: first line, fields as written, body bytes."""

    line: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def __getitem__(self, name: bytes) -> bytes:
        """The one value of a field."""
        values = self.all(name)
        assert len(values) == 1, f"{name!r} in {self.fields!r}"
        return values[0]

    def __contains__(self, name: bytes) -> bool:
        return bool(self.all(name))

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key.lower() == name.lower()]

    @property
    def status(self) -> int:
        return int(self.line.split()[1])


def parse(data: bytes) -> Message:
    """One message; its body is whatever follows the head."""
    head, separator, body = data.partition(b"\r\n\r\n")
    assert separator, f"no whole head in {data!r}"
    line, *rest = head.split(b"\r\n")
    pairs = [each.split(b":", 1) for each in rest]
    return Message(line, tuple((name, value[1:]) for name, value in pairs), body)


def ok(body: bytes = b"ok", *fields: bytes) -> bytes:
    """A response with a length."""
    lines = b"".join(each + b"\r\n" for each in fields)
    return b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (lines, len(body), body)


def get(path: bytes = b"/", *fields: bytes, method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    """A request without a body."""
    lines = b"".join(each + b"\r\n" for each in fields)
    return b"%b %b HTTP/%b\r\nHost: api.example\r\n%b\r\n" % (method, path, version, lines)


def post(body: bytes = b"hello", *fields: bytes, path: bytes = b"/", method: bytes = b"POST") -> bytes:
    """A request with a length."""
    return get(path, b"Content-Length: %d" % len(body), *fields, method=method) + body


GET: Final = get()
