"""Traces that come in B3 fields: which ones count, and how they go on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.proxy import b3
from gateway.trace_record import unpack
from tests.proxy_harness import SETTINGS, World
from tests.proxy_messages import Message, get, ok, parse

ON = replace(SETTINGS, traces=True, trace_b3=True)
LONG, SHORT, SPAN = b"463ac35c9f6413ad48485a3953bb6124", b"48485a3953bb6124", b"a2fb4a1d1a96d312"
PADDED = b"0" * 16 + SHORT


def forwarded(world: World, *fields: bytes) -> Message:
    client = world.client(get(b"/", *fields))
    received = parse(world.upstream.take())
    world.upstream.send(ok())
    client.take()
    return received


def multi(trace: bytes, *more: bytes) -> tuple[bytes, ...]:
    return (b"X-B3-TraceId: " + trace, b"X-B3-SpanId: " + SPAN, *more)


@pytest.mark.parametrize(
    ("fields", "trace"),
    [
        ((b"b3: %b-%b-1" % (LONG, SPAN),), LONG),
        ((b"B3: %b-%b-d" % (LONG, SPAN),), LONG),
        ((b"b3: %b-%b" % (SHORT, SPAN),), PADDED),
        ((b"b3: %b-%b-1-05e3ac9a4f6e3b90" % (LONG, SPAN),), LONG),
        (multi(LONG, b"X-B3-Sampled: 1"), LONG),
        (multi(SHORT, b"x-b3-flags: 1", b"X-B3-ParentSpanId: 05e3ac9a4f6e3b90"), PADDED),
        (multi(LONG), LONG),
    ],
)
def test_a_sampled_trace_goes_on_in_both_forms(fields: tuple[bytes, ...], trace: bytes) -> None:
    with World(settings=ON) as world:
        received = forwarded(world, *fields)
        (record,) = unpack(world.ctx.spans[0][0])
        client = record.attempts[0].span_id
        assert (record.trace_id, record.parent_id) == (trace, SPAN)
        assert received[b"traceparent"] == b"00-%b-%b-01" % (trace, client)
        short = trace[16:] if trace == PADDED else trace
        if fields[0].lower().startswith(b"b3"):
            state = b"d" if fields[0].endswith(b"-d") else b"1"
            assert received[b"b3"] == b"%b-%b-%b-%b" % (short, client, state, record.span_id)
            assert b"x-b3-spanid" not in received
        else:
            ids = [received[b"x-b3-" + name] for name in (b"traceid", b"spanid", b"parentspanid")]
            assert ids == [short, client, record.span_id]
            assert (b"x-b3-flags" in received) != (b"x-b3-sampled" in received)
            assert b"b3" not in received


def test_a_retry_is_another_span_in_both_forms() -> None:
    with World(settings=ON) as world:
        world.client(get(b"/", b"b3: %b-%b-1" % (LONG, SPAN)))
        first = parse(world.upstream.take())
        world.upstream.eof()
        second = parse(world.upstream.take())
        world.upstream.send(ok())
        (record,) = unpack(world.ctx.spans[0][0])
        for received, attempt in zip((first, second), record.attempts, strict=True):
            assert received[b"b3"].split(b"-")[1:] == [attempt.span_id, b"1", record.span_id]
            assert received[b"traceparent"].split(b"-")[2] == attempt.span_id


@pytest.mark.parametrize(
    "fields", [(b"b3: %b-%b-0" % (LONG, SPAN),), multi(LONG, b"X-B3-Sampled: 0"), multi(LONG, b"X-B3-Sampled: false")]
)
def test_a_trace_that_is_denied_goes_on_as_it_came(fields: tuple[bytes, ...]) -> None:
    with World(settings=ON) as world:
        received = forwarded(world, *fields)
        assert received[b"traceparent"] == b"00-%b-%b-00" % (LONG, SPAN)
        assert [b"%b: %b" % pair for pair in received.fields if b"b3" in pair[0].lower()] == list(fields)
        assert world.ctx.spans == []


@pytest.mark.parametrize(("field", "flags"), [(b"b3: 0", b"00"), (b"b3: 1", b"01"), (b"X-B3-Sampled: 0", b"00")])
def test_a_decision_alone_holds_for_the_trace_begun_here(field: bytes, flags: bytes) -> None:
    with World(settings=ON) as world:
        received = forwarded(world, field)
        _, trace, span, decided = received[b"traceparent"].split(b"-")
        assert decided == flags
        assert len(world.ctx.spans) == (flags == b"01")
        if flags == b"01":
            assert received[b"b3"].split(b"-")[:3] == [trace, span, b"1"]


def test_what_b3_leaves_open_the_ratio_decides() -> None:
    with World(settings=replace(ON, trace_sample=0.0)) as world:
        assert forwarded(world, *multi(LONG))[b"traceparent"] == b"00-%b-%b-00" % (LONG, SPAN)
        assert world.ctx.spans == []


def test_a_traceparent_wins_and_b3_travels_on() -> None:
    field = b"b3: %b-%b-0" % (LONG, SPAN)
    with World(settings=ON) as world:
        received = forwarded(world, b"traceparent: 00-%b-%b-01" % (b"1" * 32, b"2" * 16), field)
        assert received[b"traceparent"].split(b"-")[1] == b"1" * 32
        assert received[b"b3"] == field[4:]


def test_b3_is_like_any_other_field_where_it_is_not_wanted() -> None:
    field = b"b3: %b-%b-1" % (LONG, SPAN)
    with World(settings=replace(ON, trace_b3=False)) as world:
        received = forwarded(world, field)
        assert received[b"b3"] == field[4:]
        assert received[b"traceparent"].split(b"-")[1] != LONG


def test_b3_is_understood_without_an_exporter_too() -> None:
    field = b"b3: %b-%b-1" % (LONG, SPAN)
    with World(settings=replace(ON, traces=False)) as world:
        received = forwarded(world, field)
        assert (received[b"b3"], received[b"traceparent"]) == (field[4:], b"00-%b-%b-01" % (LONG, SPAN))


@pytest.mark.parametrize(
    "block",
    [
        b"b3: %b-%b-2\r\n" % (LONG, SPAN),
        b"b3: %b-%b-1\r\nb3: 1\r\n" % (LONG, SPAN),
        b"b3: %b-%b-1\r\n" % (LONG.upper(), SPAN),
        b"b3: %b-%b-1\r\n" % (LONG[:24], SPAN),
        b"b3: %b-%b-1\r\n" % (b"0" * 32, SPAN),
        b"b3: %b-%b-1\r\n" % (LONG, b"0" * 16),
        b"b3:\r\n",
        b"X-B3-TraceId: %b\r\n" % LONG,
        b"X-B3-SpanId: %b\r\n" % SPAN,
        b"X-B3-TraceId: %b\r\nX-B3-SpanId: %b\r\nX-B3-Sampled: maybe\r\n" % (LONG, SPAN),
        b"X-Web3: %b\r\n" % LONG,
        b"",
    ],
)
def test_what_is_no_b3(block: bytes) -> None:
    assert b3.read(block) is None
