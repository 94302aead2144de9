"""A worker's machines over lists of bytes: real tables, ledger, board and view; made-up connections and time.

`World` delivers events the way the worker's loop does (level-triggered: nothing while paused, an end
is told again when reading resumes), and on leaving it checks that nothing is left in flight, open or
armed.
"""

from __future__ import annotations

import mmap
import os
import random
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Final

from gateway.proxy.context import Context
from gateway.proxy.deadlines import NEVER
from gateway.proxy.downstream import Downstream
from gateway.proxy.service import LiveService
from gateway.proxy.stories import Stories
from gateway.proxy.trust import trust
from gateway.proxy.upstream import Upstream, UpstreamState
from gateway.routing.table import compile_table
from gateway.shm import rings
from gateway.shm.board import BoardReader, BoardWriter, board_bytes
from gateway.shm.code_slots import CodeSlots
from gateway.shm.layout import I_IN_FLIGHT, OUTCOMES, instance_word
from gateway.shm.ledger import Ledger, ledger_bytes
from gateway.shm.memory import attach, create
from gateway.snapshot.codec import Decoder, Encoder
from gateway.snapshot.model import InstanceRecord, RouteRecord, ServiceRecord, Snapshot, Standby, WorkerSettings
from gateway.worker.view import View
from tests.proxy_fakes import FakeAccessLog, FakeNetwork, FakeTransport, FakeUpstream, Line

PEER: Final = "192.0.2.7"
START: Final = 1000.25  # seconds, not on a tick

SETTINGS: Final = WorkerSettings(
    name="edge",
    server_header=True,
    trusted_proxies=(),
    proxy_protocol=False,
    header_bytes=8192,
    headers=20,
    body_bytes=0,
    header_timeout=10.0,
    idle_timeout=75.0,
    connections=100,
    in_flight=0,
    access_log="off",
    access_format="json",
    access_fields=(),
    drain_timeout=30.0,
    ready=True,
    traces=False,
    trace_sample=1.0,
    trace_b3=False,
)
SERVICE: Final = ServiceRecord(
    name="users",
    version=0,
    balance="round_robin",
    hash_on="client_ip",
    connect_timeout=4.0,
    max_in_flight=0,
    keepalive_idle=30.0,
    consecutive_failures=5,
    eject_time=30.0,
    max_ejected_percent=50,
    instances=(),
)
ROUTE: Final = RouteRecord(
    cell=1,
    path="/*",
    host="",
    methods=(),
    service="users",
    strip_path=False,
    timeout=30.0,
    per_try_timeout=0.0,
    stream_idle_timeout=60.0,
    retry_count=3,
    headers=(),
)


def instance(cell: int, standby: Standby = Standby.ELIGIBLE) -> InstanceRecord:
    """The instance 10.0.0.<cell>:80."""
    takes_traffic = standby in (Standby.ELIGIBLE, Standby.FAIL_OPEN, Standby.PROVISIONAL)
    return InstanceRecord(cell, f"10.0.0.{cell}", 80, 1.0, takes_traffic, standby)


def service(count: int = 1, **changes: object) -> ServiceRecord:
    """The service `users` with instances 10.0.0.1 to 10.0.0.<count>."""
    instances = tuple(instance(cell) for cell in range(1, count + 1))
    return replace(SERVICE, instances=instances, **changes)  # type: ignore[arg-type]


class World:
    """One worker's machines; a context manager that checks what is left behind."""

    def __init__(
        self,
        *services: ServiceRecord,
        routes: Sequence[RouteRecord] = (ROUTE,),
        settings: WorkerSettings = SETTINGS,
        relays: bool = False,
    ) -> None:
        """relays: connections let bodies past the machines wherever those allow it."""
        self.relays = relays
        self._encoder = Encoder()
        self._versions = 0
        self._parts: tuple[tuple[ServiceRecord, ...], tuple[RouteRecord, ...], WorkerSettings] = ((), (), SETTINGS)
        self._generation = 0
        self._board = BoardWriter(self._memory("board", board_bytes()))
        first = self._snapshot(services or (service(),), tuple(routes), settings)
        self.ledger = Ledger.initialise(self._memory("ledger", ledger_bytes(1)), 1)
        self.stories = self._memory("stories", rings.rings_bytes(1))
        rings.initialise(self.stories, 1)
        self.log = FakeAccessLog()
        self.reports: list[str] = []
        self.ctx = ctx = Context(
            settings=settings,
            table=compile_table(()),
            words=self.ledger.words,
            row=0,
            codes=CodeSlots(self.ledger.words, 0),
            access=self.log,
            stories=Stories(self.stories, 0),
            trusts=trust(()),
            report=self._report,
            rng=random.Random(1),
        )
        self.network = ctx.network = FakeNetwork(self)
        ctx.now = START
        ctx.wall = 1_700_000_000.0
        ctx.date = b"Tue, 14 Nov 2023 22:13:20 GMT"
        self.clients: list[FakeTransport] = []
        self._view = View(BoardReader(self._reader), first, Decoder())
        self.ejections: list[str] = []
        self._view.start(ctx, self._on_ejection)
        self._is_running = False
        self._services: set[LiveService] = set(ctx.services.values())

    def _memory(self, name: str, size: int) -> mmap.mmap:
        fd = create(name, size)
        memory = attach(fd, writable=True)
        if name == "board":
            self._reader = attach(fd, writable=False)
        os.close(fd)
        return memory

    def _report(self, level: str, event: str, **fields: object) -> None:
        self.reports.append(f"{level}: {event} {fields}")

    def _on_ejection(self, service: str, address: str, detail: str, is_over: bool) -> None:
        self.ejections.append(f"{address} {'over' if is_over else 'out'}: {detail}")

    def _snapshot(
        self, services: tuple[ServiceRecord, ...], routes: tuple[RouteRecord, ...], settings: WorkerSettings
    ) -> Snapshot:
        self._generation += 1
        self._parts = services, routes, settings
        numbered = tuple(replace(each, version=self._generation) for each in services)
        return Snapshot(self._generation, 0, self._generation, settings, self._generation, routes, numbered)

    # --- what happens -------------------------------------------------------------------------------

    def client(self, *pieces: bytes, peer: str = PEER) -> FakeTransport:
        """A new connection from a client, which sends these pieces."""
        transport = FakeTransport(self)
        transport._machine = Downstream(self.ctx, transport, peer)
        self.clients.append(transport)
        transport.send(*pieces)
        return transport

    @property
    def upstreams(self) -> list[FakeUpstream]:
        """All connections that were opened, in order."""
        return self.network.connections

    @property
    def upstream(self) -> FakeUpstream:
        """The connection opened last."""
        return self.network.connections[-1]

    def run(self) -> None:
        """Deliver events until none is left. Called from within an event it leaves that to the outer call."""
        if self._is_running:
            return
        self._is_running = True
        try:
            self._view.refresh()
            self._services.update(self.ctx.services.values())
            while sum(each.deliver() for each in (*self.clients, *self.network.connections)):
                continue  # one event of each connection, in turn
        finally:
            self._is_running = False

    def advance(self, seconds: float) -> None:
        """Let time pass, deadlines being called when the loop would call them."""
        end = self.ctx.now + seconds
        deadlines = self.ctx.deadlines
        while deadlines.next_at() <= end:
            self.ctx.now = max(self.ctx.now, deadlines.next_at() + 1e-6)  # the product of a tick is rounded
            deadlines.expire(self.ctx.now)
            self.run()
        self.ctx.now = end

    def publish(
        self,
        *services: ServiceRecord,
        routes: Sequence[RouteRecord] | None = None,
        settings: WorkerSettings | None = None,
    ) -> None:
        """A new generation; services replace all that there were, parts not given stay."""
        old_services, old_routes, old_settings = self._parts
        snapshot = self._snapshot(
            services or old_services,
            old_routes if routes is None else tuple(routes),
            settings or old_settings,
        )
        self._board.publish(snapshot.generation, self._encoder.encode(snapshot))
        self.run()

    def drain(self) -> None:
        """As the worker does when it is told to."""
        self.ctx.draining = True
        for client in self.clients:
            assert isinstance(client.machine, Downstream)
            client.machine.drain()
        for connection in self.upstreams:
            machine = connection.machine
            assert isinstance(machine, Upstream)
            if machine.state is UpstreamState.IDLE:
                machine.close()
        self.run()

    # --- what was counted -----------------------------------------------------------------------------

    def in_flight(self, cell: int = 1) -> int:
        """Requests in flight on an instance."""
        return int(self.ledger.words[instance_word(0, cell, I_IN_FLIGHT)])

    def outcomes(self, cell: int = 1) -> dict[str, int]:
        """How attempts on an instance ended."""
        self.ctx.counts.write()  # as the loop does after a batch
        totals = self.ledger.instance_totals(cell)
        return {name: totals[word] for word, name in OUTCOMES if totals[word]}

    def codes(self, cell: int = 1) -> dict[int, int]:
        """Responses of a route by status code."""
        self.ctx.counts.write()
        return self.ledger.route_totals(cell).codes

    @property
    def last(self) -> Line:
        """The access log's last line."""
        return self.log.lines[-1]

    # --- the end --------------------------------------------------------------------------------------

    def __enter__(self) -> World:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None:
            self.check()

    def check(self) -> None:
        """All clients leave; nothing may be left of them."""
        for client in self.clients:
            client.reset()
        assert self.ctx.stats.in_flight == 0
        assert self.ctx.stats.connections == 0
        assert self.reports == []
        cells = {each.cell for known in self._services for each in known.instances.values()} | set(range(1, 9))
        assert {cell: self.in_flight(cell) for cell in cells if self.in_flight(cell)} == {}
        assert [each.name for each in self._services if each.in_flight] == []
        assert [each.name for each in self._services if each.retries._active or each.retries._waiting] == []
        self._check_pools()
        self.advance(7200.0)  # past every timeout
        assert [each for each in self.upstreams if not each.closed] == []
        assert self.ctx.stats.upstream_idle == 0
        assert self.ctx.deadlines.next_at() == NEVER

    def _check_pools(self) -> None:
        """Open upstream connections are idle in the pool of an instance that may be picked, and nowhere else."""
        pooled = [
            idle for known in self.ctx.services.values() for each in known.instances.values() for idle in each.idle
        ]
        assert all(isinstance(idle, Upstream) and idle.state is UpstreamState.IDLE for idle in pooled)
        unpooled = {id(each.machine) for each in self.upstreams if not each.closed} ^ {id(idle) for idle in pooled}
        assert not unpooled, "open connections outside of pools, or closed ones inside"
        assert self.ctx.stats.upstream_idle == len(pooled)
