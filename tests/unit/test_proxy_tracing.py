"""Which requests are sampled, what spans they get, what goes on to the instance, and what is written down."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.trace_record import RequestRecord, unpack
from tests.proxy_harness import PEER, ROUTE, SETTINGS, START, World, service
from tests.proxy_messages import GET, Message, get, ok, parse

TRACED = replace(SETTINGS, traces=True)
LOW, HIGH = b"f" * 16 + b"1" * 16, b"f" * 16 + b"e" * 16  # trace ids: a ratio goes by their lower halves
SPAN = b"b7ad6b7169203331"


def records(world: World) -> list[RequestRecord]:
    """What was written down, in order."""
    return [record for data, _ in world.ctx.spans for record in unpack(data)]


def exchange(world: World, *fields: bytes, path: bytes = b"/") -> tuple[Message, list[RequestRecord]]:
    """A request as an instance receives it, and the records there are once it is answered."""
    client = world.client(get(path, *fields))
    received = parse(world.upstream.take())
    world.upstream.send(ok())
    assert parse(client.take()).status == 200
    return received, records(world)


@pytest.mark.parametrize(
    ("flags", "trace", "sample", "is_sampled"),
    [
        (b"01", LOW, 0.0, True),
        (b"01", HIGH, 0.5, True),
        (b"01", HIGH, 1.0, True),
        (b"00", LOW, 0.0, False),
        (b"00", LOW, 0.5, False),
        (b"00", LOW, 1.0, False),
        (b"03", HIGH, 0.0, True),
        (b"02", LOW, 1.0, False),
    ],
)
def test_the_caller_decides_for_a_trace_that_goes_on(
    flags: bytes, trace: bytes, sample: float, is_sampled: bool
) -> None:
    parent = b"00-%b-%b-%b" % (trace, SPAN, flags)
    with World(settings=replace(TRACED, trace_sample=sample)) as world:
        received, found = exchange(world, b"traceparent: " + parent, b"tracestate: a=1", b"tracestate: b=2")
        assert received[b"tracestate"] == b"a=1, b=2"
        if not is_sampled:
            assert (received[b"traceparent"], found) == (parent, [])
            return
        (record,) = found
        (attempt,) = record.attempts
        assert received[b"traceparent"] == b"00-%b-%b-%b" % (trace, attempt.span_id, flags)
        assert (record.trace_id, record.parent_id, record.state) == (trace, SPAN, b"a=1,b=2")
        assert len({record.span_id, attempt.span_id, SPAN}) == 3


@pytest.mark.parametrize(("sample", "shares"), [(0.0, {b"00"}), (0.5, {b"00", b"01"}), (1.0, {b"01"})])
@pytest.mark.parametrize("records_them", [False, True])
def test_the_ratio_decides_for_a_trace_begun_here(sample: float, shares: set[bytes], records_them: bool) -> None:
    with World(settings=replace(SETTINGS, traces=records_them, trace_sample=sample)) as world:
        seen = []
        for _ in range(40):
            trace, span, flags = exchange(world)[0][b"traceparent"].split(b"-")[1:]
            assert (flags == b"01") == (int(trace[16:], 16) < sample * 2**64)
            seen.append((trace, span, flags))
        assert {flags for _, _, flags in seen} == shares
        written = {(each.trace_id, each.attempts[0].span_id, b"01") for each in records(world)}
        assert written == ({each for each in seen if each[2] == b"01"} if records_them else set())
        assert {each.parent_id for each in records(world)} <= {b""}


def test_each_attempt_has_a_span_which_is_the_one_its_instance_is_told() -> None:
    with World(service(3), settings=TRACED) as world:
        world.network.accepts = False
        client = world.client(get(b"/a?secret=1", b"User-Agent: me", b"Cookie: secret=1"))
        world.ctx.now += 0.5
        first = world.upstream
        first.refuse(111)
        world.ctx.now += 0.25
        world.upstream.accept()
        told = [parse(world.upstream.take())[b"traceparent"].split(b"-")]
        world.upstream.eof()
        world.upstream.accept()
        told.append(parse(world.upstream.take())[b"traceparent"].split(b"-"))
        world.ctx.now += 0.25
        world.ctx.wall += 1.0
        world.upstream.send(ok())
        assert parse(client.take()).status == 200
        (record,) = records(world)
        assert world.ctx.spans[0][1] == 4
        assert [each.reason for each in record.attempts] == ["connect_refused", "upstream_reset", ""]
        assert len({each.span_id for each in record.attempts} | {record.span_id}) == 4
        assert [each[1:] for each in told] == [[record.trace_id, each.span_id, b"01"] for each in record.attempts[1:]]
        assert (record.started, record.ended) == (world.ctx.wall - (world.ctx.now - START), world.ctx.wall)
        assert [round(each.started - record.started, 3) for each in record.attempts] == [0.0, 0.5, 0.75]
        assert [round(each.ended - record.started, 3) for each in record.attempts] == [0.5, 0.75, 1.0]
        assert (record.path, record.user_agent, record.client) == (b"/a", b"me", PEER.encode())
        assert b"secret" not in world.ctx.spans[0][0]


def test_a_path_is_written_down_as_it_came_and_as_it_went() -> None:
    with World(settings=TRACED, routes=[replace(ROUTE, path="/api/*", strip_path=True)]) as world:
        (record,) = exchange(world, path=b"/api/users?q=1")[1]
        assert (record.path, record.forwarded_path, record.route) == (b"/api/users", b"/users", "/api/*")


@pytest.mark.parametrize(
    ("path", "status", "reason"), [(b"/none", 404, "no_route"), (b"/x", 405, "method_not_allowed")]
)
def test_what_is_not_forwarded_has_a_server_span_alone(path: bytes, status: int, reason: str) -> None:
    route = replace(ROUTE, path="/x", methods=("POST",))
    with World(settings=TRACED, routes=[route]) as world:
        client = world.client(get(path, b"traceparent: 00-%b-%b-01" % (LOW, SPAN)))
        assert parse(client.take()).status == status
        (record,) = records(world)
        assert (record.status, record.reason, record.parent_id, record.attempts) == (status, reason, SPAN, ())


def test_without_an_instance_there_is_no_client_span() -> None:
    with World(replace(service(1), instances=()), settings=TRACED) as world:
        world.client(GET)
        (record,) = records(world)
        assert (record.status, record.reason, record.attempts) == (503, "no_healthy_instance", ())


@pytest.mark.parametrize("request_bytes", [get(b"/health"), get(b"*", method=b"OPTIONS"), b"GET / HTTP/1.1\r\n\r\n"])
def test_the_gateways_own_paths_and_what_is_malformed_are_not_traced(request_bytes: bytes) -> None:
    with World(settings=TRACED) as world:
        assert world.client(request_bytes).take()
        assert world.ctx.spans == []


def test_a_reload_turns_tracing_on_and_off_between_requests() -> None:
    with World() as world:
        assert exchange(world)[1] == []
        world.publish(settings=TRACED)
        assert len(exchange(world)[1]) == 1
        world.publish(settings=SETTINGS)
        assert len(exchange(world)[1]) == 1
