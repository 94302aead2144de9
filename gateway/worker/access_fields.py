"""Lines of the access log that are put together field by field: those of chosen fields, and the forms for people.

The usual JSON line has a faster way of its own (`access_log`), which says the same in the same words.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from time import gmtime, strftime
from typing import Final

from gateway.errors import Reason
from gateway.h1.request import RequestHead
from gateway.proxy import attempts
from gateway.proxy.exchange import Exchange

_SAFE: Final = frozenset(range(0x20, 0x7F)) - {0x22, 0x5C}  # in a quoted string of the combined form


class Entry:
    """One finished request, whatever became of it."""

    __slots__ = (
        "client",
        "detail",
        "exchange",
        "head",
        "peer",
        "reason",
        "request_id",
        "route",
        "seconds",
        "service",
        "stamp",
        "status",
        "wall",
        "worker",
    )

    def __init__(
        self,
        wall: float,
        stamp: bytes,
        worker: int,
        request_id: bytes,
        client: bytes,
        peer: bytes,
        head: RequestHead | None,
        status: int,
        reason: Reason | None,
        detail: str,
        seconds: float,
        service: str,
        route: str,
        exchange: Exchange | None,
    ) -> None:
        """`exchange` is there if the request had a route to a service, `head` if it could be understood."""
        self.wall = wall  # Unix seconds
        self.stamp = stamp  # the same, RFC 3339
        self.worker = worker
        self.request_id = request_id
        self.client = client
        self.peer = peer
        self.head = head
        self.status = status
        self.reason = reason
        self.detail = detail
        self.seconds = seconds
        self.service = service
        self.route = route
        self.exchange = exchange

    @property
    def protocol(self) -> bytes:
        """HTTP/1.1 or HTTP/1.0; empty when the request could not be understood."""
        return b"" if self.head is None else b"HTTP/1.%d" % self.head.minor

    def field(self, name: bytes) -> bytes:
        """A header field of the request, by its name in lower case; empty without it."""
        if self.head is None:
            return b""
        for line in self.head.fields.block.split(b"\r\n"):
            key, _, value = line.partition(b":")
            if key.lower() == name:
                return value.strip(b" \t")
        return b""


Line = Callable[[Entry], bytes]


def tries(exchange: Exchange) -> bytes:
    """Every attempt of an exchange as JSON: where to, what became of it, milliseconds."""
    return json.dumps(
        [
            {
                "instance": each.instance.address,
                "outcome": each.outcome,
                "ms": round(each.seconds * 1000, 3),
                "connect_ms": _ms(each.connect_seconds),
            }
            for each in attempts.history(exchange)
        ],
        separators=(",", ":"),
    ).encode()


def combined(entry: Entry) -> bytes:
    """The Combined Log Format of Apache and nginx."""
    head = entry.head
    asked = b"-" if head is None else b"%b %b %b" % (head.method, head.target, entry.protocol)
    return b'%b - - [%b] "%b" %d %b "%b" "%b"\n' % (
        entry.client,
        strftime("%d/%b/%Y:%H:%M:%S +0000", gmtime(int(entry.wall))).encode(),
        _quoted(asked),
        entry.status,
        b"%d" % _bytes_out(entry) if _bytes_out(entry) else b"-",
        _quoted(entry.field(b"referer")) or b"-",
        _quoted(entry.field(b"user-agent")) or b"-",
    )


def console(entry: Entry) -> bytes:
    """For people: who, when, what, how it ended."""
    head, exchange = entry.head, entry.exchange
    instance = exchange.instance if exchange is not None else None
    return b'%b %b "%b %b" %d %d %.3f %b %b %b %b\n' % (
        entry.client,
        entry.stamp,
        head.method if head is not None else b"",
        head.target if head is not None else b"",
        entry.status,
        _bytes_out(entry),
        entry.seconds,
        instance.address.encode() if instance is not None else b"-",
        entry.service.encode() or b"-",
        entry.reason.slug.encode() if entry.reason is not None else b"-",
        entry.request_id,
    )


def chosen(names: tuple[str, ...]) -> Line:
    """JSON lines with these fields, in this order. A field that says nothing of a request is null."""
    fields = tuple((b'"%b":' % name.encode(), FIELDS[name]) for name in names)

    def line(entry: Entry) -> bytes:
        return b"{" + b",".join([name + value(entry) for name, value in fields]) + b"}\n"

    return line


def _text(value: bytes) -> bytes:
    return json.dumps(value.decode("utf-8", "replace")).encode() if value else b"null"


def _ms(seconds: float) -> float | None:
    return round(seconds * 1000, 3) if seconds >= 0.0 else None


def _milliseconds(seconds: float) -> bytes:
    return b"%.3f" % (seconds * 1000) if seconds >= 0.0 else b"null"


def _bytes_out(entry: Entry) -> int:
    return entry.exchange.bytes_out if entry.exchange is not None else 0


def _quoted(value: bytes) -> bytes:
    """As nginx and Apache write it between quotes: whatever could be taken for something else as \\xHH."""
    return b"".join(b"%c" % byte if byte in _SAFE else b"\\x%02X" % byte for byte in value)


def _trace_id(entry: Entry) -> bytes:
    return b'"%b"' % entry.exchange.trace[3:35] if entry.exchange is not None else b"null"


def _instance(entry: Entry) -> bytes:
    exchange = entry.exchange
    return _text(exchange.instance.address.encode()) if exchange is not None and exchange.instance else b"null"


FIELDS: Final[dict[str, Line]] = {
    "time": lambda entry: b'"%b"' % entry.stamp,
    "request_id": lambda entry: b'"%b"' % entry.request_id,
    "trace_id": _trace_id,
    "client": lambda entry: _text(entry.client),
    "peer": lambda entry: _text(entry.peer),
    "method": lambda entry: _text(entry.head.method if entry.head else b""),
    "protocol": lambda entry: _text(entry.protocol),
    "host": lambda entry: _text(entry.head.fields.host_field if entry.head else b""),
    "target": lambda entry: _text(entry.head.target if entry.head else b""),
    "path": lambda entry: _text(entry.head.path if entry.head else b""),
    "user_agent": lambda entry: _text(entry.field(b"user-agent")),
    "referer": lambda entry: _text(entry.field(b"referer")),
    "status": lambda entry: b"%d" % entry.status,
    "reason": lambda entry: _text(entry.reason.slug.encode() if entry.reason else b""),
    "detail": lambda entry: _text(entry.detail.encode() if entry.reason else b""),
    "bytes_in": lambda entry: b"%d" % (entry.exchange.bytes_in if entry.exchange else 0),
    "bytes_out": lambda entry: b"%d" % _bytes_out(entry),
    "duration_ms": lambda entry: _milliseconds(entry.seconds),
    "upstream_ms": lambda entry: _milliseconds(entry.exchange.upstream_seconds if entry.exchange else -1.0),
    "connect_ms": lambda entry: _milliseconds(entry.exchange.connect_seconds if entry.exchange else -1.0),
    "attempts": lambda entry: b"%d" % (entry.exchange.attempts if entry.exchange else 0),
    "tries": lambda entry: tries(entry.exchange) if entry.exchange else b"[]",
    "instance": _instance,
    "service": lambda entry: _text(entry.service.encode()),
    "route": lambda entry: _text(entry.route.encode()),
    "worker": lambda entry: b"%d" % entry.worker,
}
