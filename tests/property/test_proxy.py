"""Laws of the proxy: whatever happens in whatever order, nothing raises and nothing is left behind."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.proxy.deadlines import NEVER, TICK, Alarm, Deadlines
from gateway.snapshot.model import Standby
from tests.proxy_fakes import FakeTransport, FakeUpstream
from tests.proxy_harness import ROUTE, SETTINGS, World, instance, service
from tests.proxy_messages import get, ok, parse, post

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

# By name, so that a failing case reads as a story.
FROM_CLIENTS: Final = {
    "get": get(),
    "head": get(method=b"HEAD"),
    "get 1.0": get(version=b"1.0"),
    "get 1.0 keep-alive": get(b"/", b"Connection: keep-alive", version=b"1.0"),
    "get close": get(b"/", b"Connection: close"),
    "upgrade": get(b"/", b"Connection: Upgrade", b"Upgrade: websocket"),
    "health": get(b"/health"),
    "other service": get(b"/other/x"),
    "no route": get(b"/nowhere/x", method=b"DELETE"),
    "post": post(),
    "long post": post(b"x" * 70_000),
    "part of a put": post(method=b"PUT")[:-3],
    "its end": b"llo",
    "chunked put": get(b"/", b"Transfer-Encoding: chunked", method=b"PUT"),
    "expecting post": get(b"/", b"Content-Length: 9", b"Expect: 100-continue", method=b"POST"),
    "five gets": get() * 5,
    "chunk": b"5\r\nhello\r\n",
    "last chunk": b"0\r\n\r\n",
    "trailers": b"0\r\nX-T: 1\r\n\r\n",
    "part of a head": b"GET / HT",
    "its rest": b"TP/1.1\r\nHost: a\r\n\r\n",
    "empty line": b"\r\n",
    "noise": b"x" * 9000,
    "control bytes": b"\x00nonsense\n",
}
FROM_INSTANCES: Final = {
    "ok": ok(),
    "ok close": ok(b"ok", b"Connection: close"),
    "long ok": ok(b"x" * 80_000),
    "part of an ok": ok(b"four")[:-2],
    "its end": b"ur",
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    "503": b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
    "100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "hints": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 6,
    "101": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhi",
    "until the end": b"HTTP/1.1 200 OK\r\n\r\nand",
    "ok 1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "chunked": CHUNKED,
    "whole chunked": CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
    "chunk": b"5\r\nhello\r\n",
    "trailers": b"0\r\nX-T: 1\r\n\r\n",
    "part of a head": b"HTTP/1.1 200",
    "its rest": b" OK\r\nContent-Length: 0\r\n\r\n",
    "noise": b"y" * 70_000,
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
}
OTHER = replace(service(), name="other", instances=(instance(9),))
ROUTES = (
    replace(ROUTE, timeout=3.0, per_try_timeout=1.0, stream_idle_timeout=2.0),
    replace(ROUTE, cell=2, path="/other/*", service="other", retry_count=0),
    replace(ROUTE, cell=3, path="/nowhere/*", methods=("GET",)),
)
PICK = st.integers(0, 1 << 16)
STANDBYS = st.lists(
    st.sampled_from([Standby.ELIGIBLE, Standby.ELIGIBLE, Standby.DRAINING, Standby.EJECTED]), max_size=3
)


class AnyOrder(RuleBasedStateMachine):
    """Clients, instances, time and generations, each doing whatever it likes.

    Connections assert on their own part that nothing is written to a closed one; `check` that nothing is
    left in flight, open or armed.
    """

    @initialize(limit=st.sampled_from([0, 2]), body_bytes=st.sampled_from([0, 60_000]), relays=st.booleans())
    def begin(self, limit: int, body_bytes: int, relays: bool) -> None:
        users = service(2, max_in_flight=limit, consecutive_failures=2, eject_time=2.0, keepalive_idle=3.0)
        limits = replace(SETTINGS, body_bytes=body_bytes, header_timeout=2.0, idle_timeout=4.0)
        self.world = World(users, OTHER, routes=ROUTES, settings=limits, relays=relays)
        self.users = users

    def _client(self, pick: int) -> FakeTransport:
        clients = [each for each in self.world.clients if not each.closed]
        return clients[pick % len(clients)]

    def _upstream(self, pick: int) -> FakeUpstream:
        upstreams = [each for each in self.world.upstreams if not each.closed]
        return upstreams[pick % len(upstreams)]

    @property
    def has_client(self) -> bool:
        return any(not each.closed for each in self.world.clients)

    @property
    def has_upstream(self) -> bool:
        return any(not each.closed for each in self.world.upstreams)

    @rule(first=st.sampled_from(list(FROM_CLIENTS)))
    def a_client_comes(self, first: str) -> None:
        self.world.client(FROM_CLIENTS[first])

    @precondition(lambda self: self.has_client)
    @rule(pick=PICK, pieces=st.lists(st.sampled_from(list(FROM_CLIENTS)), min_size=1, max_size=3))
    def a_client_sends(self, pick: int, pieces: list[str]) -> None:
        self._client(pick).send(*(FROM_CLIENTS[name] for name in pieces))

    @precondition(lambda self: self.has_client)
    @rule(pick=PICK, end=st.sampled_from(["eof", "reset"]))
    def a_client_ends(self, pick: int, end: str) -> None:
        getattr(self._client(pick), end)()

    @precondition(lambda self: self.has_client)
    @rule(pick=PICK)
    def a_client_stops_or_goes_on_reading(self, pick: int) -> None:
        client = self._client(pick)
        if client.reads:
            client.stop_reading()
        else:
            client.read_all()

    @precondition(lambda self: self.has_client)
    @rule(pick=PICK)
    def a_client_s_connection_crashes(self, pick: int) -> None:
        self._client(pick).machine.crash()
        self.world.run()

    @rule()
    def instances_begin_or_cease_to_accept(self) -> None:
        self.world.network.accepts = not self.world.network.accepts
        self.world.run()

    @rule(hosts=st.sets(st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.9"])))
    def instances_cannot_be_reached(self, hosts: set[str]) -> None:
        self.world.network.refuses = hosts

    @precondition(lambda self: self.has_upstream)
    @rule(pick=PICK, errno=st.sampled_from([111, 110, 113]))
    def a_connect_fails(self, pick: int, errno: int) -> None:
        upstream = self._upstream(pick)
        if not upstream.is_connected:
            upstream.refuse(errno)

    @precondition(lambda self: self.has_upstream)
    @rule(pick=PICK, pieces=st.lists(st.sampled_from(list(FROM_INSTANCES)), min_size=1, max_size=3))
    def an_instance_sends(self, pick: int, pieces: list[str]) -> None:
        upstream = self._upstream(pick)
        if upstream.is_connected:
            upstream.send(*(FROM_INSTANCES[name] for name in pieces))

    @precondition(lambda self: self.has_upstream)
    @rule(pick=PICK, end=st.sampled_from(["eof", "reset"]))
    def an_instance_ends(self, pick: int, end: str) -> None:
        upstream = self._upstream(pick)
        if upstream.is_connected:
            getattr(upstream, end)()

    @precondition(lambda self: self.has_upstream)
    @rule(pick=PICK)
    def an_instance_stops_or_goes_on_reading(self, pick: int) -> None:
        upstream = self._upstream(pick)
        if upstream.reads:
            upstream.stop_reading()
        else:
            upstream.read_all()

    @rule(seconds=st.floats(0.0, 5.0))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule(standbys=STANDBYS, other=st.booleans())
    def a_generation_comes(self, standbys: list[Standby], other: bool) -> None:
        instances = tuple(instance(cell, standby) for cell, standby in enumerate(standbys, 1))
        services = [replace(self.users, instances=instances)]
        if other:
            services.append(OTHER)
        self.world.publish(*services, routes=ROUTES if other else (ROUTES[0], ROUTES[2]))

    @rule()
    def the_worker_drains(self) -> None:
        self.world.drain()

    @invariant()
    def counters_are_what_is_under_way(self) -> None:
        stats = self.world.ctx.stats
        assert 0 <= stats.in_flight <= stats.connections
        assert sum(self.world.in_flight(cell) for cell in (1, 2, 3, 9)) <= stats.in_flight
        assert stats.upstream_idle <= sum(not each.closed for each in self.world.upstreams)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.check()


# Too slow: that is said of a busy machine, too.
AnyOrder.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestAnyOrder = AnyOrder.TestCase


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([get(b"/a"), post(b"hello"), post(b"x" * 300)]), min_size=1, max_size=5),
    st.lists(st.sampled_from([b"", b"short", b"y" * 500]), min_size=5, max_size=5),
    st.booleans(),
    st.data(),
)
def test_how_bytes_are_cut_into_pieces_changes_nothing(
    requests: list[bytes], bodies: list[bytes], is_chunked: bool, data: st.DataObject
) -> None:
    """Whatever pieces requests and responses come in, the same messages arrive on either side, in order."""

    def pieces(stream: bytes) -> list[bytes]:
        cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=6)))
        return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    with World() as world:
        client = world.client(*pieces(b"".join(requests)))
        for request, body in zip(requests, bodies, strict=False):
            arrived = parse(world.upstream.take())
            assert (arrived.line, arrived.body) == (parse(request).line, parse(request).body)
            response = CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if is_chunked and body else ok(body)
            world.upstream.send(*pieces(response))
            received = parse(client.take())
            content = received.body
            if b"Transfer-Encoding" in received:
                content = b""
                rest = received.body
                while not rest.startswith(b"0\r\n"):
                    size, _, rest = rest.partition(b"\r\n")
                    content, rest = content + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
            assert content == body
        assert len(world.upstreams) == 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.one_of(st.none(), st.floats(0.0, 2.0)), st.floats(0.0, 0.3)), max_size=40)
)
def test_deadlines_are_never_early_never_missed_and_never_repeated(
    steps: list[tuple[int, float | None, float]],
) -> None:
    """Each step arms or forgets one of four deadlines, then time passes; a model says who is due."""
    deadlines = Deadlines()
    called_at: list[list[float]] = [[] for _ in range(4)]
    timed = [Alarm(calls.append) for calls in called_at]
    due = [NEVER] * 4
    now = 1000.0
    for which, delay, passing in [*steps, (0, None, 3.0)]:
        if delay is None:
            deadlines.forget(timed[which])
            due[which] = NEVER
        else:
            deadlines.arm(timed[which], now + delay)
            due[which] = now + delay
        now += passing
        if deadlines.next_at() <= now:
            deadlines.expire(now)
        for index, calls in enumerate(called_at):
            if calls:
                assert calls == [now]
                assert due[index] <= now
                calls.clear()
                due[index] = NEVER
            assert due[index] > now - 2 * TICK
    assert deadlines.next_at() == NEVER
