"""The readers of `gateway.h1` put together as the proxy does, without connections: bytes in, messages out.

`RequestSide` follows gateway/proxy/downstream.py and exchange.py, `ResponseSide` upstream.py. Whatever the
pieces in which the bytes arrive, `outcome()` must be the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from gateway.errors import GatewayError, Reason
from gateway.h1.framing import BodyReader, ChunkedReader, CloseReader, LengthReader
from gateway.h1.request import RequestFields, RequestHead, check_partial_head, parse_request_head, parse_similar_head
from gateway.h1.response import ResponseHead, check_partial_response_head, parse_response_head

HEAD_BYTES = 65536
MAX_FIELDS = 100


@dataclass(frozen=True, slots=True)
class Request:
    """A whole request."""

    head: RequestHead
    fields: bytes  # the lines as received, also where the head has others
    body: bytes
    trailers: bytes

    def told(self) -> dict[str, object]:
        """What was understood, as strings, for comparisons and for tables of expected results."""
        fields = self.head.fields
        return {
            "method": self.head.method.decode("latin-1"),
            "target": self.head.target.decode("latin-1"),
            "path": self.head.path.decode("latin-1"),
            "minor": self.head.minor,
            "keep_alive": self.head.keep_alive,
            "host": fields.host.decode("latin-1"),
            "host_field": fields.host_field.decode("latin-1"),
            "forward": fields.forward.decode("latin-1"),
            "upgrade": fields.upgrade.decode("latin-1"),
            "expect_continue": fields.expect_continue,
            "te_trailers": fields.te_trailers,
            "owned": {
                name.decode(): [value.decode("latin-1") for value in fields.owned[name]] for name in fields.owned
            },
            "body": self.body.decode("latin-1"),
            "trailers": self.trailers.decode("latin-1"),
        }


@dataclass(frozen=True, slots=True)
class RequestsOutcome:
    """What a connection came to: whole requests in order, then perhaps a refusal or an unfinished request."""

    messages: tuple[Request, ...]
    reason: str  # empty: nothing was refused
    waiting: bool

    def told(self) -> tuple[object, ...]:
        return [message.told() for message in self.messages], self.reason, self.waiting


class RequestSide:
    """One connection from a client."""

    def __init__(self) -> None:
        self._buffer = b""
        self._fields: RequestFields | None = None
        self._head: RequestHead | None = None
        self._lines = b""
        self._reader: BodyReader | None = None
        self._body: list[bytes] = []
        self._messages: list[Request] = []
        self._reason = ""
        self._is_over = False

    def feed(self, data: bytes) -> None:
        try:
            while data and not self._is_over:
                data = self._read_head(data) if self._reader is None else self._read_body(data)
        except GatewayError as error:
            self._reason = error.reason.slug
            self._is_over = True

    def _read_head(self, data: bytes) -> bytes:
        data = self._buffer + data
        self._buffer = b""
        while data[:2] == b"\r\n":
            data = data[2:]
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            check_partial_head(data, HEAD_BYTES)
            self._buffer = data
            return b""
        if end > HEAD_BYTES:
            check_partial_head(data[:end], HEAD_BYTES)
            raise AssertionError("a head over the limit was let through")
        head = parse_similar_head(data, self._fields) if self._fields is not None else None
        if head is None:
            head = parse_request_head(data, end, MAX_FIELDS)
        assert head.length == end
        self._head, self._fields = head, head.fields
        self._lines = data[data.index(b"\n") + 1 : end - 2]
        if head.fields.chunked:
            self._reader = ChunkedReader(Reason.MALFORMED_REQUEST)
        elif head.fields.content_length > 0:
            self._reader = LengthReader(head.fields.content_length)
        else:
            self._finish(b"", b"")
        return data[end:]

    def _read_body(self, data: bytes) -> bytes:
        reader = self._reader
        assert reader is not None
        self._body.append(reader.feed(data))
        if not reader.done:
            return b""
        self._finish(b"".join(self._body), reader.trailers)
        return reader.rest

    def _finish(self, body: bytes, trailers: bytes) -> None:
        assert self._head is not None
        self._messages.append(Request(self._head, self._lines, body, trailers))
        self._is_over = not self._head.keep_alive
        self._head, self._reader, self._body = None, None, []

    def outcome(self) -> RequestsOutcome:
        waiting = not self._is_over and (bool(self._buffer) or self._head is not None)
        return RequestsOutcome(tuple(self._messages), self._reason, waiting)


@dataclass(slots=True)
class ResponseOutcome:
    """What a connection to an instance came to, for one request."""

    head: ResponseHead | None = None
    fields: bytes = b""  # the lines as received
    body: bytes = b""
    trailers: bytes = b""
    rest: bytes = b""
    interim: list[int] = field(default_factory=list)
    reason: str = ""

    def told(self) -> dict[str, object]:
        """As Request.told. Of a failed response nothing but the reason is certain."""
        head = self.head
        if self.reason or head is None:
            return {"reason": self.reason}
        return {
            "reason": "",
            "status": head.status,
            "phrase": head.phrase.decode("latin-1"),
            "minor": head.minor,
            "close": head.close,
            "content_length": head.content_length,
            "upgrade": head.upgrade.decode("latin-1"),
            "forward": head.forward.decode("latin-1"),
            "body": self.body.decode("latin-1"),
            "trailers": self.trailers.decode("latin-1"),
            "rest": self.rest.decode("latin-1"),
            "interim": self.interim,
        }


class ResponseSide:
    """One connection to an instance, after a request with `method`."""

    def __init__(self, method: bytes) -> None:
        self._method = method
        self._buffer = b""
        self._reader: BodyReader | None = None
        self._body: list[bytes] = []
        self._is_over = False
        self._outcome = ResponseOutcome()

    def feed(self, data: bytes) -> None:
        try:
            while data and not self._is_over:
                data = self._read_head(data) if self._reader is None else self._read_body(data)
        except GatewayError as error:
            self._fail(error.reason)
        if self._is_over:
            self._outcome.rest += data

    def end(self) -> None:
        """The instance closes the connection."""
        if self._is_over:
            return
        if isinstance(self._reader, CloseReader):
            self._finish()
        else:
            self._fail(Reason.UPSTREAM_RESET if self._reader is None else Reason.RESPONSE_TRUNCATED)

    def outcome(self) -> ResponseOutcome:
        return self._outcome

    def _read_head(self, data: bytes) -> bytes:
        data = self._buffer + data
        self._buffer = b""
        end = data.find(b"\r\n\r\n") + 4
        if end < 4 or end > HEAD_BYTES:
            check_partial_response_head(data if end < 4 else data[:end], HEAD_BYTES)
            assert end < 4, "a head over the limit was let through"
            self._buffer = data
            return b""
        head = parse_response_head(data, 0, end)
        if head.status < 200 and head.status != 101:
            self._outcome.interim.append(head.status)
            return data[end:]
        self._outcome.head = head
        self._outcome.fields = data[data.index(b"\n") + 1 : end - 2]
        if not head.has_body(self._method) or head.content_length == 0:
            self._finish()
        elif head.content_length > 0:
            self._reader = LengthReader(head.content_length)
        else:
            self._reader = ChunkedReader(Reason.BAD_RESPONSE) if head.chunked else CloseReader()
        return data[end:]

    def _read_body(self, data: bytes) -> bytes:
        reader = self._reader
        assert reader is not None
        self._body.append(reader.feed(data))
        if not reader.done:
            return b""
        self._outcome.trailers = reader.trailers
        self._finish()
        return reader.rest

    def _finish(self) -> None:
        self._outcome.body = b"".join(self._body)
        self._is_over = True

    def _fail(self, reason: Reason) -> None:
        self._outcome.reason = reason.slug
        self._is_over = True


def read_requests(pieces: Iterable[bytes]) -> RequestsOutcome:
    side = RequestSide()
    for piece in pieces:
        side.feed(piece)
    return side.outcome()


def read_response(pieces: Iterable[bytes], method: bytes = b"GET", *, eof: bool = False) -> ResponseOutcome:
    side = ResponseSide(method)
    for piece in pieces:
        side.feed(piece)
    if eof:
        side.end()
    return side.outcome()


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """`data` in pieces that end at the given places."""
    edges = [0, *sorted({place for place in places if 0 < place < len(data)}), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def splits(data: bytes, choose: Callable[[int, int], int]) -> Iterable[list[bytes]]:
    """Whole, byte by byte, in two at every place, by line, and in random pieces; big messages at fewer places.

    choose(a, b) returns a random number between a and b.
    """
    yield [data]
    yield data.splitlines(keepends=True)
    if len(data) <= 2048:
        yield bytewise(data)
        for place in range(1, len(data)):
            yield cut(data, [place])
    for _ in range(8):
        yield cut(data, [choose(1, max(1, len(data) - 1)) for _ in range(choose(1, 12))])
