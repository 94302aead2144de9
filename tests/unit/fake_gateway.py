"""A made-up gateway behind the real admin interface: plain facts, a real ledger, nobody's workers.

`python -m tests.unit.fake_gateway [HOST:PORT]` serves it with traffic that grows, for the command line to look at.
"""

from __future__ import annotations

import contextlib
import os
import queue
import random
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import trio
from structlog.testing import capture_logs

from discovery.model import Origin, OriginKind, Problem
from discovery.source import SourceState
from gateway.admin.explanation import Asked, Explained
from gateway.admin.facts import (
    Access,
    DrainFacts,
    Facts,
    InstanceFacts,
    InstanceFigures,
    NotKnown,
    Progress,
    Pulse,
    ReloadError,
    ReloadFacts,
    RouteFacts,
    ServiceFacts,
    ServiceFigures,
    WorkerFacts,
)
from gateway.admin.series import Series
from gateway.admin.server import serve
from gateway.config.describe import Config, describe
from gateway.config.load import load
from gateway.shm import layout
from gateway.shm.code_slots import CodeSlots
from gateway.shm.ledger import Ledger, ledger_bytes
from gateway.shm.memory import attach, create
from gateway.shm.rings import rings_bytes
from gateway.shm.storybook import StoryBook
from gateway.snapshot.model import Snapshot, Standby
from gateway.supervisor.explain import Known, explain
from tests.proxy_harness import ROUTE, SETTINGS, service

STARTED = 1_790_000_000.0  # 2026-09-21T14:13:20Z


def make_ledger(rows: int = 2) -> Ledger:
    """An empty ledger on a memfd."""
    fd = create("test-ledger", ledger_bytes(rows))
    try:
        return Ledger.initialise(attach(fd, writable=True), rows)
    finally:
        os.close(fd)


def make_stories(rows: int = 2) -> StoryBook:
    """An empty storybook on a memfd."""
    fd = create("test-stories", rings_bytes(rows))
    try:
        return StoryBook.initialise(attach(fd, writable=True), rows, rows)
    finally:
        os.close(fd)


def instance(address: str, cell: int, **changes: object) -> InstanceFacts:
    """A healthy instance, changed."""
    facts = InstanceFacts(
        address=address,
        name="",
        cell=cell,
        weight=1.0,
        eligible=True,
        reason="eligible",
        detail="200 in 3 ms",
        health="healthy",
        since=STARTED + 10.0,
        checks_ok=40,
        checks_failed=0,
    )
    return replace(facts, **changes)  # type: ignore[arg-type]  # the keys of InstanceFacts


def route(path: str, service: str, cell: int, **changes: object) -> RouteFacts:
    """A plain route, changed."""
    origin = f"file: gateway.toml routes[{cell - 1}]"
    facts = RouteFacts(cell, path, "", (), service, False, 30.0, 3, options="", origin=origin)
    return replace(facts, **changes)  # type: ignore[arg-type]  # the keys of RouteFacts


def make_facts(started: float = STARTED) -> Facts:
    """A gateway of two workers with something of everything."""
    pid = os.getpid()
    return Facts(
        name="edge",
        version="0.1.0",
        config_file="gateway.toml",
        listen=("127.0.0.1:8080",),
        started_at=started,
        generation=42,
        ready=True,
        not_ready=(),
        draining=False,
        workers=(
            WorkerFacts(0, pid, "serving", 0, started),
            WorkerFacts(1, pid, "serving", 2, started + 5.0),
        ),
        services=(
            ServiceFacts(
                "users",
                "file: gateway.toml services[0]",
                "least_connections",
                "user-service",
                (
                    instance("10.0.0.1:9001", 1, weight=2.0, since=started + 10.0),
                    instance("10.0.0.2:9001", 2, name="users.internal", since=started + 10.0),
                    instance(
                        "10.0.0.3:9001",
                        3,
                        eligible=False,
                        reason="unhealthy",
                        health="unhealthy",
                        detail="connection refused",
                        since=started + 50.0,
                        checks_failed=7,
                    ),
                ),
            ),
            ServiceFacts(
                "orders",
                "tag: service orders, instance orders-1, tag gw.path=/orders/*",
                "weighted",
                "orders",
                (
                    instance("[fd00::1]:9001", 4, eligible=False, reason="draining", detail="", since=started + 40.0),
                    instance(
                        "10.0.0.9:9001",
                        5,
                        eligible=False,
                        reason="critical",
                        detail="check 'web' is critical: HTTP GET http://10.0.0.9:9001/health: 500 Internal Error",
                        since=started + 30.0,
                    ),
                ),
            ),
        ),
        routes=(
            route("/api/v1/users/*", "users", 1),
            route("/orders/*", "orders", 2, host="shop.example.com", methods=("GET",), strip_path=True),
            route("/orders/*", "orders", 3, host="shop.example.com", methods=("POST",)),
        ),
        discovery=(
            SourceState("static", stale=False, stale_since=None, last_success=started + 1.0),
            SourceState("consul", True, started + 45.0, started + 44.0, "connection refused"),
        ),
        problems=(
            Problem(
                Origin(OriginKind.TAG, "service blog, instance blog-1, tag urlprefix-/blog auth=basic"),
                "auth= is not supported: the route is refused, so that nothing is open that was meant to be closed",
            ),
        ),
        reloads=ReloadFacts(3, 1, is_last_good=True, last_success=started + 20.0),
    )


def figures(facts: Facts) -> tuple[ServiceFigures, ...]:
    """The numbers of the same services."""
    return tuple(
        ServiceFigures(
            service.name,
            service.is_failing_open,
            tuple(
                InstanceFigures(
                    each.address,
                    each.cell,
                    each.health in ("healthy", "unchecked"),
                    each.eligible,
                    each.checks_ok,
                    each.checks_failed,
                    each.flaps,
                )
                for each in service.instances
            ),
        )
        for service in facts.services
    )


def count(ledger: Ledger, row: int, cell: int, route_cell: int, *, code: int = 200, seconds: float = 0.002) -> None:
    """One request of a worker, answered by an instance, as the worker counts it."""
    words = ledger.words
    words[layout.row_word(row, layout.R_REQUESTS_TOTAL)] += 1
    words[layout.instance_word(row, cell, layout.I_ATTEMPTS)] += 1
    outcome = layout.I_STATUS if code in (502, 503, 504) else layout.I_OK
    words[layout.instance_word(row, cell, outcome)] += 1
    words[layout.instance_word(row, cell, layout.I_LATENCY_US)] += int(seconds * 1e6)
    bucket = sum(seconds > bound for bound in layout.DURATION_BOUNDS)
    words[layout.instance_word(row, cell, layout.I_LATENCY + bucket)] += 1
    count_route(ledger, row, route_cell, code=code, seconds=seconds)


def count_route(ledger: Ledger, row: int, route_cell: int, *, code: int, seconds: float) -> None:
    """One answer of a route."""
    words = ledger.words
    words[CodeSlots(words, row).index(route_cell, code)] += 1
    bucket = sum(seconds > bound for bound in layout.DURATION_BOUNDS)
    words[layout.route_word(row, route_cell, layout.RT_DURATION + bucket)] += 1
    words[layout.route_word(row, route_cell, layout.RT_DURATION_SUM_US)] += int(seconds * 1e6)


@dataclass
class FakeFacade:
    """A `Facade` whose answers a test sets."""

    present: Facts = field(default_factory=make_facts)
    ledger: Ledger = field(default_factory=make_ledger)
    series: Series = field(default_factory=Series)
    access: Access = field(default_factory=Access)
    stories: StoryBook = field(default_factory=make_stories)
    reload_problems: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()
    broken: bool = False
    reloads: int = 0
    downs: int = 0

    def facts(self) -> Facts:
        if self.broken:
            raise RuntimeError("made to fail")
        return self.present

    def overview(self) -> Facts:
        return replace(self.facts(), services=())

    def figures(self) -> tuple[ServiceFigures, ...]:
        return figures(self.facts())

    def progress(self, service: str) -> Progress:
        facts = self.facts()
        found = next((each for each in facts.services if each.name == service), None)
        names = tuple(each.name for each in facts.services)
        return Progress(facts.generation, facts.ready, facts.not_ready, facts.draining, facts.workers, found, names)

    def config(self) -> Config:
        return describe(load(None, environ={}))

    async def explain(self, asked: Asked) -> Explained:
        """Everything goes to two instances of `users`, the first of which an operator drains."""
        await trio.lowlevel.checkpoint()
        users = service(2)
        drained = replace(users.instances[0], eligible=False, standby=Standby.DRAINING)
        users = replace(users, instances=(drained, users.instances[1]))
        snapshot = Snapshot(42, 0, 1, SETTINGS, 1, (ROUTE,), (users,))
        return explain(asked, Known(snapshot, (), lambda _route: ("file: x", ""), lambda _cell: 0, "127.0.0.1:80", 1.0))

    def pulse(self) -> Pulse:
        present = self.present
        return Pulse(present.name, present.version, present.not_ready, present.draining)

    async def reload(self) -> tuple[str, ...]:
        self.reloads += 1
        await trio.lowlevel.checkpoint()
        if self.reload_problems:
            raise ReloadError(self.reload_problems)
        return self.needs_restart

    def down(self) -> None:
        self.downs += 1
        self.present = replace(self.present, draining=True)

    def drain_instance(self, service: str, address: str, by: str) -> bool:
        return self._operate(service, address, DrainFacts(address, STARTED + 60.0, by, is_listed=True, in_flight=0))

    def undrain_instance(self, service: str, address: str, by: str) -> bool:
        return self._operate(service, address, None)

    def _operate(self, service: str, address: str, drain: DrainFacts | None) -> bool:
        """One generation more, with the service's only drain."""
        services = {each.name: each for each in self.present.services}
        if service not in services:
            raise NotKnown(f"There is no service {service!r}.", "service", tuple(services))
        known = services[service]
        addresses = tuple(each.address for each in known.instances)
        if address not in addresses:
            raise NotKnown(f"Service {service!r} has no instance {address!r}.", "instance", addresses)
        before = any(each.address == address for each in known.drains)
        services[service] = replace(known, drains=(drain,) if drain else ())
        self.present = replace(self.present, generation=self.present.generation + 1, services=tuple(services.values()))
        return before is not (drain is not None)


@contextlib.contextmanager
def served(facade: FakeFacade) -> Iterator[str]:
    """The facade behind the real admin server, in a thread of its own; yields its address."""
    begun: queue.Queue[tuple[str, trio.Event, trio.lowlevel.TrioToken]] = queue.Queue()

    async def run() -> None:
        end = trio.Event()
        async with trio.open_nursery() as nursery:
            address = await nursery.start(partial(serve, facade, "127.0.0.1:0", shutdown=end))
            begun.put((address, end, trio.lowlevel.current_trio_token()))

    thread = threading.Thread(target=trio.run, args=(run,))
    thread.start()
    address, end, token = begun.get(timeout=10.0)
    try:
        with capture_logs():  # a fault that is made to happen is drawn with all its frames otherwise, for seconds
            yield address
    finally:
        token.run_sync_soon(end.set)
        thread.join(timeout=10.0)
        assert not thread.is_alive()


async def _busy(facade: FakeFacade) -> None:
    """Traffic on both workers, for ever."""
    words = facade.ledger.words
    for row in (0, 1):
        words[layout.row_word(row, layout.R_GENERATION)] = facade.present.generation
    while True:
        for row in (0, 1):
            words[layout.row_word(row, layout.R_CONNECTIONS)] = random.randint(100, 140)
            words[layout.row_word(row, layout.R_IN_FLIGHT)] = random.randint(0, 9)
            for cell in (1, 1, 2):
                words[layout.instance_word(row, cell, layout.I_IN_FLIGHT)] = random.randint(0, 4)
                count(
                    facade.ledger,
                    row,
                    cell,
                    1,
                    code=random.choices((200, 503), (500, 1))[0],
                    seconds=random.expovariate(300),
                )
        await trio.sleep(0.002)


async def _main(bind: str) -> None:
    facade = FakeFacade(present=make_facts(started=time.time() - 11_000.0))
    async with trio.open_nursery() as nursery:
        address = await nursery.start(serve, facade, bind)
        print(address, flush=True)  # noqa: T201  # for whoever started this
        await _busy(facade)


if __name__ == "__main__":
    trio.run(_main, sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:0")
