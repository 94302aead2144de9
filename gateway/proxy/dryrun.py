"""What the proxy would do with a request, found out by letting it: the machines of a worker, and nobody around them.

The same state machines, tables and pickers as in a worker, on a ledger of their own and with connections that go
nowhere. What they would send to an instance, or answer themselves, is the result; nothing leaves this module.
"""

from __future__ import annotations

import mmap
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from gateway.errors import Reason
from gateway.h1.request import RequestHead
from gateway.proxy.context import Context
from gateway.proxy.downstream import Downstream
from gateway.proxy.exchange import Exchange
from gateway.proxy.gate import OwnAnswer
from gateway.proxy.service import LiveService
from gateway.proxy.stories import Stories
from gateway.proxy.transport import Connecting, Transport
from gateway.proxy.trust import trust
from gateway.routing.table import compile_table
from gateway.shm.code_slots import CodeSlots
from gateway.shm.layout import I_IN_FLIGHT, instance_word
from gateway.shm.ledger import Ledger, ledger_bytes
from gateway.shm.rings import rings_bytes
from gateway.snapshot.model import RouteRecord, ServiceRecord, WorkerSettings

_LOST: Final = 104  # ECONNRESET: how the made-up client leaves when all is known


@dataclass(frozen=True, slots=True)
class DryRun:
    """What became of one request."""

    route: RouteRecord | None  # that took it, were it to answer by its own rules
    instance: str  # host:port it would go to; "": it would not be forwarded
    forwarded: bytes  # the head as forwarded; b"" if it would not be
    answer: bytes  # the gateway's own answer; b"" if it would be forwarded
    reason: Reason | None  # of that answer, where it is an error
    detail: str
    is_understood: bool  # False: it is no request that has one meaning


def dry_run(
    request: bytes,
    peer: str,
    *,
    settings: WorkerSettings,
    routes: Sequence[RouteRecord],
    services: Sequence[ServiceRecord],
    in_flight: Callable[[int], int],
    now: float,
) -> DryRun:
    """Let a worker's machines have a request of a client at `peer` (an IP address).

    `in_flight` tells an instance's requests in flight over all workers by its cell; `now` is CLOCK_MONOTONIC in
    seconds. Every eligible instance is believed to accept connections.
    """
    memory = mmap.mmap(-1, ledger_bytes(1))  # sparse: what is not touched is never allocated
    words = Ledger.initialise(memory, 1).words
    watch = _Watch()
    ctx = Context(
        settings=replace(settings, proxy_protocol=False),  # the client's address is known
        table=compile_table(routes),
        words=words,
        row=0,
        codes=CodeSlots(words, 0),
        access=watch,
        stories=Stories(mmap.mmap(-1, rings_bytes(1)), 0),
        trusts=trust(settings.trusted_proxies),
        report=watch.report,
        rng=random.Random(0),  # noqa: S311  # ids that nobody ever sees
    )
    ctx.now = now
    ctx.network = watch
    wanted = {route.service for route in routes}
    for record in services:
        if record.name in wanted:
            ctx.services[record.name] = LiveService(record, words, 0, 1, ctx.deadlines, watch.on_ejection, now)
            for each in record.instances:
                words[instance_word(0, each.cell, I_IN_FLIGHT)] = in_flight(each.cell)
    client = _Line()
    machine = Downstream(ctx, client, peer)
    machine.on_data(request)
    if watch.upstream is not None:
        watch.upstream.on_connected()
    forwarded, answer = bytes(watch.line.written), bytes(client.written)
    machine.on_lost(_LOST)
    return watch.result(forwarded, answer)


class _Line:
    """A connection to nobody: keeps what is written."""

    def __init__(self) -> None:
        self.written = bytearray()

    def write(self, data: bytes) -> bool:
        self.written += data
        return True

    def relay(self, to: Transport, size: int) -> None:
        """There are no bodies."""

    def has_moved(self) -> bool:
        return True

    def pause(self) -> None:
        """Nothing is delivered anyway."""

    def resume(self) -> None:
        """Nothing is delivered anyway."""

    def close(self, *, linger: bool = False) -> None:
        """It was never open."""

    def abort(self) -> None:
        """It was never open."""


class _Watch:
    """The network that the machines connect to, and the access log that they write: where it is seen what they do."""

    enabled = True

    def __init__(self) -> None:
        self.line = _Line()
        self.upstream: Connecting | None = None
        self._exchange: Exchange | None = None
        self._own: OwnAnswer | None = None
        self._refusal: tuple[Reason, str] | None = None
        self._address = ""

    def result(self, forwarded: bytes, answer: bytes) -> DryRun:
        """All that was seen."""
        route, reason, detail = None, None, ""
        if self._exchange is not None:
            route = self._exchange.route.record
            if not forwarded:
                reason, detail = self._exchange.reason, self._exchange.detail
        elif self._own is not None:
            route = None if self._own.route is None else self._own.route.record
            reason, detail = self._own.reason, self._own.detail
        elif self._refusal is not None:
            reason, detail = self._refusal
        return DryRun(route, self._address, forwarded, answer, reason, detail, self._refusal is None)

    # --- Network --------------------------------------------------------------------------------
    def connect(self, host: str, port: int, machine: Connecting) -> Transport:
        self.upstream = machine
        return self.line

    # --- AccessLog ------------------------------------------------------------------------------
    def use_settings(self, settings: WorkerSettings) -> None:
        """Nothing is written down."""

    def flush(self) -> None:
        """Nothing is written down."""

    def record(self, exchange: Exchange) -> None:
        self._exchange = exchange
        if exchange.instance is not None:
            self._address = exchange.instance.address

    def record_refusal(self, down: Downstream, request_id: bytes, reason: Reason, detail: str) -> None:
        self._refusal = reason, detail

    def record_own(self, down: Downstream, head: RequestHead, request_id: bytes, answer: OwnAnswer) -> None:
        self._own = answer

    # --- what has no one to be told to -----------------------------------------------------------
    def report(self, level: str, event: str, **fields: object) -> None:
        """Nothing here is worth the log: it did not happen."""

    def on_ejection(self, service: str, address: str, detail: str, is_over: bool) -> None:
        """Nothing here is worth telling: it did not happen."""
