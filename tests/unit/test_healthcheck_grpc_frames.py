"""What a gRPC probe makes of HTTP/2 frames, fed by hand; an h2 server says what is right."""

from __future__ import annotations

import h2.config
import h2.connection
import h2.events
import hpack
import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    ExtensionFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from discovery.settings import HealthSettings, ProbeType
from healthcheck.conversation import Kind, Outcome
from healthcheck.probe_grpc import HEAD_BYTES, GrpcConversation, GrpcQuestion

QUESTION = GrpcQuestion("10.0.0.1:80", HealthSettings(type=ProbeType.GRPC, service="users"))
GREETING: tuple[Frame, ...] = (SettingsFrame(0),)
SERVING = Outcome(ok=True, text="SERVING", kind=Kind.ANSWER)


def fields(*pairs: tuple[str, str]) -> bytes:
    return hpack.Encoder().encode(pairs)


HEAD = fields((":status", "200"), ("content-type", "application/grpc"))
TRAILERS = fields(("grpc-status", "0"))
ANSWER = b"\0\0\0\0\2\x08\1"
GOOD: tuple[Frame, ...] = (
    HeadersFrame(1, HEAD, flags=["END_HEADERS"]),
    DataFrame(1, ANSWER),
    HeadersFrame(1, TRAILERS, flags=["END_HEADERS", "END_STREAM"]),
)


def feed(*frames: Frame, size: int = 1 << 20) -> tuple[GrpcConversation, bytes]:
    """The conversation after these, `size` bytes at a time, and what it replied."""
    data = b"".join(frame.serialize() for frame in frames)
    conversation, replies = QUESTION(), b""
    for start in range(0, len(data), size):
        if conversation.outcome is None:
            replies += conversation.receive(data[start : start + size])
    return conversation, replies


def outcome(*frames: Frame) -> Outcome | None:
    """The same however the bytes are cut."""
    found = {feed(*GREETING, *frames, size=size)[0].outcome for size in (1, 7, 1 << 20)}
    assert len(found) == 1
    return found.pop()


def test_a_strict_server_takes_the_request() -> None:
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
    server.initiate_connection()
    events = server.receive_data(QUESTION().open())
    (request,) = [event for event in events if isinstance(event, h2.events.RequestReceived)]
    assert dict(request.headers)[b":path"] == b"/grpc.health.v1.Health/Check"
    (body,) = [event.data for event in events if isinstance(event, h2.events.DataReceived)]
    assert body == b"\0\0\0\0\7\x0a\5users"
    assert any(isinstance(event, h2.events.StreamEnded) for event in events)
    conversation = QUESTION()
    server.receive_data(conversation.receive(server.data_to_send()))  # its settings, our acknowledgement
    server.send_headers(1, [(":status", "200"), ("content-type", "application/grpc")])
    server.send_data(1, ANSWER)
    server.send_headers(1, [("grpc-status", "0")], end_stream=True)
    conversation.receive(server.data_to_send())
    assert conversation.outcome == SERVING


def test_an_answer() -> None:
    assert outcome(*GOOD) == SERVING
    assert outcome(*GOOD[:2]) is None


def test_frames_that_do_not_matter() -> None:
    later = ExtensionFrame(0x42, 0, body=b"later")
    later.body_len = 5  # hyperframe writes extensions that it has read, so it wants to be told
    noise = (WindowUpdateFrame(0, window_increment=9), later, PingFrame(0, b"12345678"))
    assert outcome(noise[0], GOOD[0], noise[1], GOOD[1], noise[2], GOOD[2]) == SERVING


def test_settings_and_pings_are_acknowledged() -> None:
    _, replies = feed(*GREETING, SettingsFrame(0, flags=["ACK"]), PingFrame(0, b"12345678"))
    assert replies == (
        SettingsFrame(0, flags=["ACK"]).serialize() + PingFrame(0, b"12345678", flags=["ACK"]).serialize()
    )


def test_a_head_in_pieces() -> None:
    pieces = (HeadersFrame(1, HEAD[:1]), ContinuationFrame(1, HEAD[1:], flags=["END_HEADERS"]))
    assert outcome(*pieces, *GOOD[1:]) == SERVING


def test_trailers_alone() -> None:
    block = fields((":status", "200"), ("grpc-status", "14"), ("grpc-message", "shutting%20down"))
    assert outcome(HeadersFrame(1, block, flags=["END_HEADERS", "END_STREAM"])) == Outcome(
        ok=False, text="gRPC status 14 (UNAVAILABLE)", kind=Kind.ANSWER, note=": shutting down"
    )


@pytest.mark.parametrize(
    ("frames", "text", "kind"),
    [
        ((RstStreamFrame(1, error_code=7),), "call reset (REFUSED_STREAM)", Kind.BREAK),
        ((RstStreamFrame(1, error_code=99),), "call reset (error 99)", Kind.BREAK),
        ((GoAwayFrame(0, error_code=11),), "connection ended by the instance (ENHANCE_YOUR_CALM)", Kind.BREAK),
        ((GoAwayFrame(0, last_stream_id=0),), "connection ended by the instance (NO_ERROR)", Kind.BREAK),
        ((GOOD[0], DataFrame(1, b"x" * 5000)), "not an answer of the health protocol", Kind.ANSWER),
        ((GOOD[0], DataFrame(1, b"<html>"), GOOD[2]), "not an answer of the health protocol", Kind.ANSWER),
        ((GOOD[0], DataFrame(1, ANSWER, flags=["END_STREAM"])), "not an answer of the health protocol", Kind.ANSWER),
        (
            (HeadersFrame(1, fields((":status", "404")), flags=["END_HEADERS", "END_STREAM"]),),
            "HTTP status 404 instead of a gRPC answer",
            Kind.ANSWER,
        ),
        ((HeadersFrame(1, b"\xff" * 9, flags=["END_HEADERS"]),), "not HTTP/2", Kind.BREAK),
        ((DataFrame(1, b"x" * 16385),), "not HTTP/2", Kind.BREAK),
        (tuple([HeadersFrame(1, b"x" * 9000)] * (HEAD_BYTES // 9000 + 1)), "not HTTP/2", Kind.BREAK),
    ],
)
def test_what_is_no_good(frames: tuple[Frame, ...], text: str, kind: Kind) -> None:
    assert outcome(*frames) == Outcome(ok=False, text=text, kind=kind)


def test_a_goaway_after_which_the_call_is_still_answered() -> None:
    assert outcome(GoAwayFrame(0, last_stream_id=1), *GOOD) == SERVING


def test_settings_come_first() -> None:
    conversation, _ = feed(*GOOD)
    assert conversation.outcome == Outcome(ok=False, text="not HTTP/2", kind=Kind.BREAK)


def test_an_end_in_the_middle() -> None:
    conversation, _ = feed(*GREETING, *GOOD[:2])
    conversation.end()
    assert conversation.outcome == Outcome(ok=False, text="broke off in its answer", kind=Kind.BREAK)


FRAMES = st.builds(
    lambda kind, flags, stream, body: (
        len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body
    ),
    st.integers(0, 12),
    st.integers(0, 255),
    st.integers(0, 3),
    st.binary(max_size=40),
)


@given(st.lists(FRAMES, max_size=12))
@settings(deadline=None)
def test_any_frames_leave_an_outcome_or_a_wait_and_nothing_else(frames: list[bytes]) -> None:
    conversation = QUESTION()
    conversation.receive(SettingsFrame(0).serialize())
    for frame in frames:
        if conversation.outcome is None:
            conversation.receive(frame)
