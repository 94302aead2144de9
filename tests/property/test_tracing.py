"""Whatever comes in a header, ids stay valid; a record is what it was; a ratio decides as OpenTelemetry's does."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

from gateway.proxy import b3
from gateway.proxy.context import Context
from gateway.trace_record import AttemptRecord, BadRecord, RequestRecord, pack, unpack
from tests.proxy_harness import SETTINGS, World
from tests.proxy_messages import get, parse

digits = st.text("0123456789abcdefABCDEF", max_size=33).map(str.encode)
words = st.one_of(digits, st.sampled_from([b"0", b"1", b"d", b"", b"true", b"0" * 16, b"0" * 32, b"x"]), st.binary())
singles = st.lists(words, max_size=5).map(b"-".join)
names = st.sampled_from([b"b3", b"B3", b"X-B3-TraceId", b"x-b3-spanid", b"X-B3-Sampled", b"X-B3-Flags", b"X-Other"])
fields = st.lists(st.tuples(names, st.one_of(words, singles)), max_size=6)
VALID = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[0-3]")


@given(fields)
def test_b3_is_valid_ids_or_nothing(pairs: list[tuple[bytes, bytes]]) -> None:
    found = b3.read(b"".join(b"%b: %b\r\n" % pair for pair in pairs))
    if found is not None:
        assert found.state in (b"", b"0", b"1", b"d")
        assert bool(found.trace) == bool(found.span)
        assert found.state or found.trace
        if found.trace:
            assert VALID.fullmatch(b"00-%b-%b-01" % (found.trace_id, found.span))


printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)).map(str.encode)
tracers = st.tuples(st.booleans(), st.booleans(), st.sampled_from([0.0, 0.5, 1.0]))


@given(
    st.lists(st.tuples(st.one_of(names, st.just(b"traceparent")), st.one_of(singles, printable)), max_size=4), tracers
)
def test_what_is_forwarded_is_a_valid_traceparent(
    pairs: list[tuple[bytes, bytes]], tracer: tuple[bool, bool, float]
) -> None:
    lines = [b"%b: %b" % pair for pair in pairs if re.fullmatch(rb"[\x20-\x7e]*", pair[1])]
    traces, takes_b3, sample = tracer
    with World(settings=replace(SETTINGS, traces=traces, trace_b3=takes_b3, trace_sample=sample)) as world:
        world.client(get(b"/", *lines))
        received = parse(world.upstream.take())
        assert VALID.fullmatch(received[b"traceparent"])


@given(st.floats(0, 1), st.integers(1, (1 << 128) - 1))
def test_a_ratio_decides_as_opentelemetry_does(ratio: float, trace_id: int) -> None:
    theirs = TraceIdRatioBased(ratio).should_sample(None, trace_id, "").decision is Decision.RECORD_AND_SAMPLE
    assert decides(ratio, b"%032x" % trace_id) == theirs


WORLD = World()


def decides(ratio: float, trace_id: bytes) -> bool:
    ctx: Context = WORLD.ctx
    ctx.use_settings(replace(SETTINGS, trace_sample=ratio), ctx.trusts)
    return ctx.is_sampled(trace_id)


text, data, real = st.text(max_size=9), st.binary(max_size=9), st.floats(allow_nan=False)
attempts = st.builds(
    AttemptRecord, data, real, real, text, st.integers(0, 65535), text, real, real, st.integers(0, 599), text, text,
    st.booleans(), st.booleans(),
)  # fmt: skip
requests = st.builds(
    RequestRecord, data, data, data, data, real, real, data, data, data, st.integers(0, 1), data, data, data, data,
    data, st.integers(0, 599), text, text, text, text, data, st.integers(0, 255),
    st.lists(attempts, max_size=3).map(tuple),
)  # fmt: skip


def packed(record: RequestRecord) -> bytes:
    return pack((*record[:-1], tuple(tuple(each) for each in record.attempts)))


@given(st.lists(requests, max_size=3))
def test_records_survive(given_records: list[RequestRecord]) -> None:
    assert list(unpack(b"".join(map(packed, given_records)))) == given_records


@given(requests, st.data())
def test_a_record_that_is_cut_short_is_said(record: RequestRecord, drawn: st.DataObject) -> None:
    whole = packed(record)
    with pytest.raises(BadRecord):
        list(unpack(whole[: drawn.draw(st.integers(1, len(whole) - 1))]))


def test_what_is_no_record_is_said() -> None:
    with pytest.raises(BadRecord):
        list(unpack(pack((1, 2, ()))))
