"""One gRPC probe: the standard health protocol, grpc.health.v1.Health/Check, of the server or of one of its services.

The protocol: https://github.com/grpc/grpc/blob/master/doc/health-checking.md; its wire format:
https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md; HTTP/2 is RFC 9113.

One call on a fresh connection, nothing else: what goes out is the same bytes each time, made once, and what comes back
is a handful of frames. They are read with hyperframe and hpack, the parts that h2 is made of; h2 itself, which keeps
the state of a connection of any length, takes six times the CPU for this. The two messages are small enough to be
written by hand: HealthCheckRequest has a string as its field 1, HealthCheckResponse an enum as its field 1.
"""

from __future__ import annotations

from urllib.parse import unquote

import hpack
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
)

from discovery.settings import HealthSettings
from healthcheck.conversation import Kind, Outcome
from healthcheck.probe_http import version

MESSAGE_BYTES = 4096  # a HealthCheckResponse has two; an answer with more is none
HEAD_BYTES = 64 * 1024  # of the response's header fields, and of its trailers, encoded

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_STREAM = 1
_FRAME_HEAD = 9  # bytes
_FRAME_BYTES = 16384  # the largest that a peer may send unasked
_ACK = SettingsFrame(0, flags=["ACK"]).serialize()
_SERVING = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
_STATUS = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
_ERRORS = (  # RFC 9113 section 7
    "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
    "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
)  # fmt: skip


class NotHttp2(Exception):
    """The instance sent what no HTTP/2 server may send."""


class GrpcQuestion:
    """What every probe of one target asks; the bytes are made once. Call it for a conversation."""

    __slots__ = ("request",)

    def __init__(self, authority: str, settings: HealthSettings) -> None:
        """`authority`: host:port, unless the settings have another host."""
        fields = (
            (":method", "POST"),
            (":scheme", "https" if settings.tls else "http"),
            (":path", "/grpc.health.v1.Health/Check"),
            (":authority", settings.host or authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("grpc-timeout", f"{max(1, int(settings.timeout * 1000))}m"),
            ("user-agent", f"gw-health/{version()}"),
        )
        frames = (
            SettingsFrame(0, settings={SettingsFrame.ENABLE_PUSH: 0}),
            HeadersFrame(_STREAM, hpack.Encoder().encode(fields), flags=["END_HEADERS"]),
            DataFrame(_STREAM, encode_request(settings.service), flags=["END_STREAM"]),
        )
        self.request = _PREFACE + b"".join(frame.serialize() for frame in frames)

    def __call__(self) -> GrpcConversation:
        return GrpcConversation(self.request)


class GrpcConversation:
    """One call on one HTTP/2 connection."""

    __slots__ = (
        "_block",
        "_buffer",
        "_decoder",
        "_fields",
        "_is_greeted",
        "_is_last",
        "_message",
        "_request",
        "outcome",
    )

    def __init__(self, request: bytes) -> None:
        self.outcome: Outcome | None = None
        self._request = request
        self._buffer = b""  # what is not a whole frame yet
        self._is_greeted = False  # the first frame has come; it must be settings (section 3.4)
        self._decoder = hpack.Decoder()
        self._block = b""  # of header fields, not yet whole
        self._is_last = False  # that block ends the stream
        self._fields: dict[str, str] = {}  # of the response and its trailers together
        self._message = b""

    def open(self) -> bytes:
        return self._request

    def receive(self, data: bytes) -> bytes:
        self._buffer += data
        replies = b""
        try:
            while self.outcome is None and (frame := self._next_frame()) is not None:
                replies += self._on_frame(frame)
        except (NotHttp2, HyperframeError, hpack.HPACKError):
            self._break("not HTTP/2")
        return replies

    def end(self) -> None:
        self._break("broke off in its answer" if self._fields else "closed without an answer")

    def _next_frame(self) -> Frame | None:
        if len(self._buffer) < _FRAME_HEAD:
            return None
        frame, length = Frame.parse_frame_header(memoryview(self._buffer[:_FRAME_HEAD]))
        if length > _FRAME_BYTES or not (self._is_greeted or isinstance(frame, SettingsFrame)):
            raise NotHttp2
        size = _FRAME_HEAD + length
        if len(self._buffer) < size:
            return None
        frame.parse_body(memoryview(self._buffer[_FRAME_HEAD:size]))
        self._buffer = self._buffer[size:]
        self._is_greeted = True
        return frame

    def _on_frame(self, frame: Frame) -> bytes:
        """What is to be sent for it."""
        match frame:
            case SettingsFrame():
                return b"" if "ACK" in frame.flags else _ACK
            case PingFrame():
                return b"" if "ACK" in frame.flags else PingFrame(0, frame.opaque_data, flags=["ACK"]).serialize()
            case HeadersFrame() | ContinuationFrame():
                self._is_last |= "END_STREAM" in frame.flags
                self._on_block(frame.data, is_whole="END_HEADERS" in frame.flags)
            case DataFrame():
                self._message += frame.data
                if len(self._message) > MESSAGE_BYTES:
                    self._answer("not an answer of the health protocol")
                elif "END_STREAM" in frame.flags:
                    self._judge()
            case RstStreamFrame():
                self._break(f"call reset ({_error_name(frame.error_code)})")
            case GoAwayFrame() if frame.error_code or frame.last_stream_id < _STREAM:
                self._break(f"connection ended by the instance ({_error_name(frame.error_code)})")
            case _:
                pass  # priorities, windows, and what only later versions know
        return b""

    def _on_block(self, data: bytes, *, is_whole: bool) -> None:
        self._block += data
        if len(self._block) > HEAD_BYTES:
            raise NotHttp2
        if is_whole:
            self._fields.update((str(name), str(value)) for name, value in self._decoder.decode(self._block))
            self._block = b""
            if self._is_last:
                self._judge()

    def _judge(self) -> None:
        fields = self._fields
        code = fields.get("grpc-status", "")
        if fields.get(":status") != "200":
            self._answer(f"HTTP status {fields.get(':status')} instead of a gRPC answer")
        elif code.isdecimal() and int(code) > 0:
            name = _STATUS[int(code)] if int(code) < len(_STATUS) else "unknown"
            message = unquote(fields.get("grpc-message", ""))[:200]
            self._answer(f"gRPC status {code} ({name})", f": {message}" if message.isprintable() and message else "")
        else:
            status = decode_response(self._message)
            if status is None or not code.isdecimal():
                self._answer("not an answer of the health protocol")
            else:
                name = _SERVING[status] if status < len(_SERVING) else f"status {status}"
                self.outcome = Outcome(name == "SERVING", name, Kind.ANSWER)

    def _answer(self, text: str, note: str = "") -> None:
        self.outcome = Outcome(ok=False, text=text, kind=Kind.ANSWER, note=note)

    def _break(self, text: str) -> None:
        self.outcome = Outcome(ok=False, text=text, kind=Kind.BREAK)


def encode_request(service: str) -> bytes:
    """A HealthCheckRequest as one message of gRPC: not compressed, its length, field 1 unless it is empty."""
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    return b"\0" + len(message).to_bytes(4, "big") + message


def decode_response(data: bytes) -> int | None:
    """The status in one message of gRPC that holds a HealthCheckResponse (absent: 0); None if it is no such thing."""
    if len(data) < 5 or data[0] != 0 or len(data) != 5 + int.from_bytes(data[1:5], "big"):
        return None
    message = data[5:]
    if not message:
        return 0  # UNKNOWN, proto3's default, is not written
    return message[1] if len(message) == 2 and message[0] == 0x08 and message[1] < 0x80 else None


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _error_name(code: int) -> str:
    return _ERRORS[code] if code < len(_ERRORS) else f"error {code}"
