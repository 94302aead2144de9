"""A request's body on its way: understood, framed anew, and kept for a repetition while it is short."""

from __future__ import annotations

from typing import Final

from gateway.errors import GatewayError, Reason
from gateway.h1.framing import BodyReader, ChunkedReader, LengthReader, chunked_piece
from gateway.h1.request import RequestFields
from gateway.proxy.transport import Transport

REPLAY_BYTES: Final = 65536  # bodies are kept for another attempt up to this size; a longer one is sent once


class RequestBody:
    """The body of one request that has one."""

    __slots__ = ("_is_chunked", "_kept", "_limit", "_reader", "kept_bytes", "received")

    def __init__(self, fields: RequestFields, limit: int) -> None:
        """`limit`: bytes, 0 for none. Raises GatewayError(BODY_TOO_LARGE) if the announced length is over it."""
        self._is_chunked = fields.chunked
        self._limit = limit
        self._kept: list[bytes] | None = []
        self.kept_bytes = 0
        self.received = 0  # bytes of body, without framing
        self._reader: BodyReader
        if fields.chunked:
            self._reader = ChunkedReader(Reason.MALFORMED_REQUEST)
        else:
            self._reader = LengthReader(fields.content_length)
            self._check(fields.content_length)

    @property
    def is_done(self) -> bool:
        """Has all of it been received?"""
        return self._reader.done

    @property
    def rest(self) -> bytes:
        """What came behind the end."""
        return self._reader.rest

    @property
    def is_replayable(self) -> bool:
        """Is every byte received so far still at hand?"""
        return self._kept is not None

    @property
    def is_long(self) -> bool:
        """Is more kept than is kept for a repetition? It only is while no upstream connection takes it."""
        return self.kept_bytes > REPLAY_BYTES

    def let_past(self, source: Transport, to: Transport) -> None:
        """What is still to come is only to be counted, if it is neither framed anew nor kept: see `Transport.relay`."""
        reader = self._reader
        if self._kept is None and isinstance(reader, LengthReader) and not reader.done:
            source.relay(to, reader.remaining)

    def skip(self, size: int) -> None:
        """Count bytes that went past, of those that were let past."""
        reader = self._reader
        assert isinstance(reader, LengthReader)
        reader.skip(size)
        self.received += size

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the client; returns them framed for the upstream. Raises GatewayError."""
        reader = self._reader
        piece = reader.feed(data)
        self.received += len(piece)
        if self._is_chunked:
            self._check(self.received)
            out = chunked_piece(piece, reader.trailers, is_last=reader.done)
        else:
            out = piece
        if self._kept is not None and out:
            self._kept.append(out)
            self.kept_bytes += len(out)
        return out

    def behind(self, head: bytes) -> bytes:
        """The head with everything kept behind it: what a new attempt sends first."""
        return b"".join((head, *self._kept)) if self._kept else head

    def forget_if_long(self) -> None:
        """An upstream connection takes the body now: keep no more than a repetition may cost."""
        if self.kept_bytes > REPLAY_BYTES:
            self._kept = None
            self.kept_bytes = 0

    def _check(self, size: int) -> None:
        if self._limit and size > self._limit:
            raise GatewayError(Reason.BODY_TOO_LARGE, f"{size} bytes are over {self._limit}")
