"""CPU of one whole exchange in the state machines, without sockets: where the Python time of a request goes.

python -m benchmarks.micro.bench_exchange [--profile] [--tracing]
"""

from __future__ import annotations

import cProfile
import pstats
import random
import socket
import sys
import time
from typing import Final

from gateway.proxy.context import Context
from gateway.proxy.downstream import Downstream
from gateway.proxy.service import LiveService
from gateway.proxy.stories import Stories
from gateway.proxy.transport import Connecting, Transport
from gateway.routing.table import compile_table
from gateway.shm import memory, rings
from gateway.shm.code_slots import CodeSlots
from gateway.shm.ledger import Ledger, ledger_bytes
from gateway.snapshot.model import InstanceRecord, RouteRecord, ServiceRecord, Standby, WorkerSettings
from gateway.worker.access_log import AccessLog
from gateway.worker.span_sink import SpanSink

REQUESTS: Final = 100_000
GET: Final = b"GET /x HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"
BROWSER: Final = (
    b"GET /api/v1/users/42?x=1 HTTP/1.1\r\nHost: api.example.com:8080\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:120.0)"
    b" Gecko/20100101 Firefox/120.0\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    b"Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n"
    b"Cookie: session=abcdef0123456789; theme=dark\r\n"
    b"Cache-Control: no-cache\r\nConnection: keep-alive\r\n\r\n"
)
RESPONSE: Final = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 23 Nov 2026 01:00:00 GMT\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 100\r\nConnection: keep-alive\r\n\r\n" + b"x" * 100
)


class FakeTransport:
    """Takes everything, forgets it."""

    def write(self, data: bytes) -> bool:
        return True

    def relay(self, to: Transport, size: int) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self, *, linger: bool = False) -> None: ...

    def abort(self) -> None: ...

    def has_moved(self) -> bool:
        return True


class FakeNetwork:
    """Connections that wait for `answer`."""

    def __init__(self) -> None:
        self.opening: list[Connecting] = []
        self.asked: Connecting

    def connect(self, host: str, port: int, machine: Connecting) -> Transport:
        self.opening.append(machine)
        return UpstreamTransport(self, machine)

    def answer(self) -> None:
        if self.opening:
            self.opening.pop().on_connected()
        self.asked.on_data(RESPONSE)


class UpstreamTransport(FakeTransport):
    """Remembers who was asked last."""

    def __init__(self, network: FakeNetwork, machine: Connecting) -> None:
        self._network = network
        self._machine = machine

    def write(self, data: bytes) -> bool:
        self._network.asked = self._machine
        return True


def report(level: str, event: str, **fields: object) -> None:
    raise AssertionError(f"{level}: {event} {fields}")


def build(*, traces: bool, sample: float) -> tuple[Context, FakeNetwork]:
    settings = WorkerSettings(
        name="edge",
        server_header=True,
        trusted_proxies=(),
        proxy_protocol=False,
        header_bytes=65536,
        headers=100,
        body_bytes=0,
        header_timeout=10.0,
        idle_timeout=75.0,
        connections=10000,
        in_flight=0,
        access_log="/dev/null",
        access_format="json",
        access_fields=(),
        drain_timeout=30.0,
        ready=True,
        traces=traces,
        trace_sample=sample,
        trace_b3=False,
    )
    ledger = Ledger.initialise(memory.attach(memory.create("bench", ledger_bytes(1)), writable=True), 1)
    instances = tuple(InstanceRecord(n, "127.0.0.1", 9000 + n, 1.0, True, Standby.ELIGIBLE) for n in range(3))
    service = ServiceRecord("demo", 1, "least_connections", "client_ip", 4.0, 0, 30.0, 5, 30.0, 50, instances)
    route = RouteRecord(1, "/*", "", (), "demo", False, 30.0, 0.0, 60.0, 3, ())
    log = AccessLog(report)
    stories = memory.attach(memory.create("bench", rings.rings_bytes(1)), writable=True)
    ctx = Context(
        settings=settings,
        table=compile_table([route]),
        words=ledger.words,
        row=0,
        codes=CodeSlots(ledger.words, 0),
        access=log,
        stories=Stories(stories, 0),
        trusts=lambda peer: False,
        report=report,
        rng=random.Random(1),
    )
    log.bind(ctx)
    log.use_settings(settings)
    ctx.now, ctx.wall, ctx.date = time.monotonic(), time.time(), b"Mon, 23 Nov 2026 01:00:00 GMT"
    ctx.services["demo"] = LiveService(service, ledger.words, 0, 1, ctx.deadlines, lambda *_: None, 0.0)
    network = FakeNetwork()
    ctx.network = network
    return ctx, network


def run(request: bytes, requests: int, *, traces: bool = False, sample: float = 1.0) -> float:
    """Seconds for so many exchanges on one kept connection each side."""
    ctx, network = build(traces=traces, sample=sample)
    _, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)  # nobody reads, as when an exporter is behind
    sink = SpanSink(ours.detach(), ctx)
    down = Downstream(ctx, FakeTransport(), "127.0.0.1")
    for _ in range(10):
        down.on_data(request)
        network.answer()
    started = time.process_time()
    for turn in range(requests):
        down.on_data(request)
        network.answer()
        if turn % 16 == 0:
            ctx.counts.write()
            ctx.stories.write()
            ctx.access.flush()
            if ctx.spans:
                sink.flush()
    sink.close()
    return time.process_time() - started


def main() -> None:
    """Print us per exchange, best of five."""
    if "--profile" in sys.argv:
        with cProfile.Profile() as profile:
            run(GET, REQUESTS)
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        return
    for name, request in (("small GET", GET), ("browser GET", BROWSER)):
        best = min(run(request, REQUESTS // 5) for _ in range(5))
        print(f"{name}: {best / (REQUESTS // 5) * 1e6:.2f} us an exchange")
        if "--tracing" in sys.argv:
            for state, sample in (("not sampled", 0.0), ("sampled", 1.0)):
                best = min(run(request, REQUESTS // 5, traces=True, sample=sample) for _ in range(5))
                print(f"{name}, traced, {state}: {best / (REQUESTS // 5) * 1e6:.2f} us an exchange")


if __name__ == "__main__":
    main()
