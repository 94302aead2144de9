"""Records of traced requests on their way out of a worker."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from gateway.trace_record import DATAGRAM_BYTES
from gateway.worker.span_sink import SpanSink
from tests.proxy_harness import World

Pair = tuple[SpanSink, socket.socket, World]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A sink, the other end of its socket, and the world whose records it sends."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    theirs.setblocking(False)
    with World() as world:
        sink = SpanSink(ours.detach(), world.ctx)
        yield sink, theirs, world
        sink.close()
    theirs.close()


def received(theirs: socket.socket) -> list[bytes]:
    packets = []
    while True:
        try:
            packets.append(theirs.recv(1 << 20))
        except BlockingIOError:
            return packets


def test_a_batch_goes_as_one_datagram_and_is_gone(pair: Pair) -> None:
    sink, theirs, world = pair
    world.ctx.spans += [(b"one", 2), (b"two", 1)]
    sink.flush()
    assert (received(theirs), world.ctx.spans, sink.dropped) == ([b"onetwo"], [], 0)


def test_a_large_batch_goes_in_whole_records(pair: Pair) -> None:
    sink, theirs, world = pair
    record = bytes(DATAGRAM_BYTES // 2)
    world.ctx.spans += [(record, 1)] * 3 + [(bytes(2 * DATAGRAM_BYTES), 1)]
    sink.flush()
    assert [len(each) for each in received(theirs)] == [DATAGRAM_BYTES, DATAGRAM_BYTES // 2, 2 * DATAGRAM_BYTES]


def test_what_nobody_reads_is_dropped_and_counted_by_spans(pair: Pair) -> None:
    sink, theirs, world = pair
    sent = 0
    while not sink.dropped:
        world.ctx.spans.append((bytes(DATAGRAM_BYTES), 3))
        sink.flush()
        sent += 1
        assert sent < 1000, "the socket takes everything"
    assert sink.dropped == 3
    assert len(received(theirs)) == sent - 1
    world.ctx.spans.append((b"again", 1))
    sink.flush()
    assert received(theirs) == [b"again"]


def test_an_exporter_that_is_gone_costs_spans_only(pair: Pair) -> None:
    sink, theirs, world = pair
    theirs.close()
    world.ctx.spans.append((b"one", 2))
    sink.flush()
    assert sink.dropped == 2
