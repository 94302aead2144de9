"""Where a body ends: readers that turn received bytes into body bytes, and the chunk writer.

Both readers have one interface: `feed(data)` returns the body bytes in `data`; once `done` is
true, `rest` holds what came after the body and `trailers` the trailer section's field lines.
RFC 9112 sections 6 and 7.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from gateway.errors import GatewayError, Reason
from gateway.h1.fields import HOP_BY_HOP, may_become_lines
from gateway.h1.grammar import CHUNK_LINE, CHUNK_LINE_START, FIELD_LINE, FIELD_LINES

_CHUNK_LINE_BYTES: Final = 4096  # size and extensions; past it the chunk is refused
_TRAILER_BYTES: Final = 16384
LAST_CHUNK: Final = b"0\r\n\r\n"

# RFC 9110 6.5.1: fields that frame, route, authenticate or control must not come as trailers.
_FORBIDDEN_TRAILERS: Final = HOP_BY_HOP | frozenset(
    (
        b"content-length",
        b"host",
        b"authorization",
        b"cookie",
        b"set-cookie",
        b"content-encoding",
        b"content-type",
        b"content-range",
        b"cache-control",
        b"expect",
        b"max-forwards",
        b"range",
        b"if-match",
        b"if-none-match",
        b"if-modified-since",
        b"if-unmodified-since",
        b"if-range",
        b"location",
        b"age",
        b"date",
        b"expires",
        b"vary",
        b"warning",
        b"retry-after",
        b"www-authenticate",
        b"x-real-ip",
        b"forwarded",
        b"via",
        b"x-request-id",
        b"traceparent",
        b"tracestate",
    )
)


class LengthReader:
    """A body of exactly `length` bytes."""

    __slots__ = ("done", "remaining", "rest", "trailers")

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.done = length == 0
        self.rest = b""
        self.trailers = b""

    def feed(self, data: bytes) -> bytes:
        """Body bytes of `data`."""
        size = len(data)
        if size < self.remaining:
            self.remaining -= size
            return data
        self.done = True
        if size == self.remaining:
            self.remaining = 0
            return data
        self.rest = data[self.remaining :]
        data = data[: self.remaining]
        self.remaining = 0
        return data

    def skip(self, size: int) -> None:
        """Count body bytes that went past: no more of them than remain."""
        self.remaining -= size
        self.done = not self.remaining


class CloseReader:
    """A body that the end of the connection ends (RFC 9112 6.3, rule 8). The owner sets `done`."""

    __slots__ = ("done", "rest", "trailers")

    def __init__(self) -> None:
        self.done = False
        self.rest = b""
        self.trailers = b""

    def feed(self, data: bytes) -> bytes:
        return data


class _State(Enum):
    SIZE = "size"
    DATA = "data"
    DATA_END = "data_end"
    TRAILERS = "trailers"
    DONE = "done"


class ChunkedReader:
    """A chunked body. Raises GatewayError(reason) for anything but the strictest reading of RFC 9112 7.1."""

    __slots__ = ("_buffer", "_reason", "_remaining", "_state", "done", "rest", "trailers")

    def __init__(self, reason: Reason) -> None:
        self._reason = reason
        self._state = _State.SIZE
        self._remaining = 0
        self._buffer = b""
        self.done = False
        self.rest = b""
        self.trailers = b""

    def feed(self, data: bytes) -> bytes:
        """Body bytes of `data`, chunk framing removed."""
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        pieces: list[bytes] = []
        at = 0
        end = len(data)
        while at < end and not self.done:
            if self._state is _State.DATA:
                piece = data[at : at + self._remaining]
                pieces.append(piece)
                at += len(piece)
                self._remaining -= len(piece)
                if not self._remaining:
                    self._state = _State.DATA_END
            elif self._state is _State.DATA_END:
                if end - at < 2:
                    if data[at] != 0x0D:
                        raise self._error("chunk data is not followed by CRLF")
                    break
                if data[at : at + 2] != b"\r\n":
                    raise self._error("chunk data is not followed by CRLF")
                at += 2
                self._state = _State.SIZE
            else:
                if self._state is _State.SIZE:
                    at = _whole_chunks(data, at, pieces)
                    after = self._read_size(data, at)
                else:
                    after = self._read_trailers(data, at)
                if after < 0:
                    break
                at = after
        if self.done:
            self.rest = data[at:]
        else:
            self._buffer = data[at:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _read_size(self, data: bytes, at: int) -> int:
        match = CHUNK_LINE.match(data, at)
        if match is None:
            if len(data) - at > _CHUNK_LINE_BYTES or CHUNK_LINE_START.fullmatch(data, at) is None:
                raise self._error("a malformed chunk size or extension")
            return -1
        if match.end() - at > _CHUNK_LINE_BYTES:
            raise self._error("a chunk extension is too long")
        size = int(match[1], 16)
        if size:
            self._remaining = size
            self._state = _State.DATA
        else:
            self._state = _State.TRAILERS
        return match.end()

    def _read_trailers(self, data: bytes, at: int) -> int:
        if data.startswith(b"\r\n", at):
            self._finish()
            return at + 2
        end = data.find(b"\r\n\r\n", at)
        if end < 0:
            if len(data) - at > _TRAILER_BYTES or not may_become_lines(data, at, len(data)):
                raise self._error("a malformed or oversized trailer section")
            return -1
        block = data[at : end + 2]
        if len(block) > _TRAILER_BYTES or FIELD_LINES.fullmatch(block) is None:
            raise self._error("a malformed or oversized trailer section")
        for name, _ in FIELD_LINE.findall(block):
            plain = name.lower().replace(b"_", b"-")  # look-alikes too, as in a head
            if plain in _FORBIDDEN_TRAILERS or plain.startswith(b"x-forwarded-"):
                raise self._error(f"{name!r} is not allowed as a trailer")
        self.trailers = block
        self._finish()
        return end + 4

    def _finish(self) -> None:
        self._state = _State.DONE
        self.done = True

    def _error(self, detail: str) -> GatewayError:
        return GatewayError(self._reason, detail)


def _whole_chunks(data: bytes, at: int, pieces: list[bytes]) -> int:
    """Take the good chunks that are whole in `data`, quickly; the reader judges what is not. Returns where they end."""
    while (line := CHUNK_LINE.match(data, at)) is not None:
        start = line.end()
        end = start + int(line[1], 16)
        if end == start or start - at > _CHUNK_LINE_BYTES or data[end : end + 2] != b"\r\n":
            break
        pieces.append(data[start:end])
        at = end + 2
    return at


BodyReader = LengthReader | CloseReader | ChunkedReader


def chunk(data: bytes) -> bytes:
    """One chunk. `data` must not be empty: an empty chunk ends the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: bytes) -> bytes:
    """The end of a chunked body, with its trailer field lines."""
    return b"0\r\n%b\r\n" % trailers if trailers else LAST_CHUNK


def chunked_piece(data: bytes, trailers: bytes, *, is_last: bool) -> bytes:
    """A piece of a chunked body, which may be empty, with the body's end if it is the last."""
    out = chunk(data) if data else b""
    return out + last_chunk(trailers) if is_last else out
