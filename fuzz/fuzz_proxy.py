"""The machines: bytes are a list of events on made-up connections; nothing raises, and nothing is left in flight.

An event is a byte for what happens, one for the connection that it happens to, and for some one for what is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from gateway.snapshot.model import Standby
from tests.property.test_proxy import FROM_CLIENTS, FROM_INSTANCES, OTHER, ROUTES
from tests.proxy_fakes import FakeTransport, FakeUpstream
from tests.proxy_harness import SETTINGS, World, instance, service

_REQUESTS: Final = tuple(FROM_CLIENTS.values())
_RESPONSES: Final = tuple(FROM_INSTANCES.values())
_HOSTS: Final = ("10.0.0.1", "10.0.0.2", "10.0.0.9")
_STANDBYS: Final = (Standby.ELIGIBLE, Standby.DRAINING, Standby.EJECTED, Standby.UNHEALTHY)
_HEADER: Final = b"PROXY TCP4 10.9.8.7 10.0.0.1 1 2\r\n"


class _Run:
    def __init__(self, data: bytes) -> None:
        self._bytes: Iterator[int] = iter(data)
        options = self._next()
        limits = replace(
            SETTINGS,
            header_timeout=2.0,
            idle_timeout=4.0,
            body_bytes=60_000 if options & 1 else 0,
            proxy_protocol=bool(options & 2),
            trusted_proxies=("192.0.2.0/24",) if options & 4 else (),
        )
        self._users = service(
            2, max_in_flight=2 if options & 8 else 0, consecutive_failures=2, eject_time=2.0, keepalive_idle=3.0
        )
        self._greeting = _HEADER if options & 2 else b""
        self.world = World(self._users, OTHER, routes=ROUTES, settings=limits)

    def _next(self) -> int:
        return next(self._bytes, 0)

    def _client(self) -> FakeTransport | None:
        clients = [each for each in self.world.clients if not each.closed]
        pick = self._next()
        return clients[pick % len(clients)] if clients else None

    def _upstream(self) -> FakeUpstream | None:
        upstreams = [each for each in self.world.upstreams if not each.closed]
        pick = self._next()
        return upstreams[pick % len(upstreams)] if upstreams else None

    def _connected(self) -> FakeUpstream | None:
        upstream = self._upstream()
        return upstream if upstream is not None and upstream.is_connected else None

    def _raw(self) -> bytes:
        return bytes(self._next() for _ in range(self._next() % 32))

    def client_comes(self) -> None:
        self.world.client(*filter(None, (self._greeting, _REQUESTS[self._next() % len(_REQUESTS)])))

    def client_sends(self) -> None:
        client, piece = self._client(), _REQUESTS[self._next() % len(_REQUESTS)]
        if client is not None:
            client.send(piece)

    def client_sends_bytes(self) -> None:
        client, piece = self._client(), self._raw()
        if client is not None and piece:
            client.send(piece)

    def client_ends(self) -> None:
        client = self._client()
        if client is not None:
            client.eof()

    def client_resets(self) -> None:
        client = self._client()
        if client is not None:
            client.reset()

    def client_stops_or_reads(self) -> None:
        client = self._client()
        if client is not None:
            if client.reads:
                client.stop_reading()
            else:
                client.read_all()

    def accepting_changes(self) -> None:
        self.world.network.accepts = not self.world.network.accepts
        self.world.run()

    def network_breaks(self) -> None:
        chosen = self._next()
        self.world.network.refuses = {host for bit, host in enumerate(_HOSTS) if chosen >> bit & 1}

    def connect_fails(self) -> None:
        upstream = self._upstream()
        if upstream is not None and not upstream.is_connected:
            upstream.refuse()

    def instance_sends(self) -> None:
        upstream, piece = self._connected(), _RESPONSES[self._next() % len(_RESPONSES)]
        if upstream is not None:
            upstream.send(piece)

    def instance_sends_bytes(self) -> None:
        upstream, piece = self._connected(), self._raw()
        if upstream is not None and piece:
            upstream.send(piece)

    def instance_ends(self) -> None:
        upstream = self._connected()
        if upstream is not None:
            upstream.eof()

    def instance_resets(self) -> None:
        upstream = self._connected()
        if upstream is not None:
            upstream.reset()

    def instance_stops_or_reads(self) -> None:
        upstream = self._upstream()
        if upstream is not None:
            if upstream.reads:
                upstream.stop_reading()
            else:
                upstream.read_all()

    def time_passes(self) -> None:
        self.world.advance(self._next() / 32)

    def generation_comes(self) -> None:
        chosen = self._next()
        instances = tuple(instance(cell, _STANDBYS[chosen >> 2 * cell & 3]) for cell in range(1, 1 + chosen % 4))
        services = [replace(self._users, instances=instances)]
        if chosen & 128:
            services.append(OTHER)
        self.world.publish(*services, routes=ROUTES if chosen & 128 else (ROUTES[0], ROUTES[2]))

    def worker_drains(self) -> None:
        self.world.drain()

    def play(self) -> None:
        for event in self._bytes:
            _EVENTS[event % len(_EVENTS)](self)
            stats = self.world.ctx.stats
            assert 0 <= stats.in_flight <= stats.connections
        self.world.check()


_EVENTS: Final[tuple[Callable[[_Run], None], ...]] = (
    _Run.client_comes,
    _Run.client_sends,
    _Run.client_sends_bytes,
    _Run.client_ends,
    _Run.client_resets,
    _Run.client_stops_or_reads,
    _Run.accepting_changes,
    _Run.network_breaks,
    _Run.connect_fails,
    _Run.instance_sends,
    _Run.instance_sends_bytes,
    _Run.instance_ends,
    _Run.instance_resets,
    _Run.instance_stops_or_reads,
    _Run.time_passes,
    _Run.generation_comes,
    _Run.worker_drains,
)


def one_input(data: bytes) -> None:
    _Run(data).play()
