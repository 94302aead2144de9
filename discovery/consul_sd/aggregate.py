"""Many services with few connections: two watches that see every change, and queries for what changed.

Consul allows 200 connections per address and keeps the slot of one that has closed until its query's wait
is over. So beyond a budget the services share

- a watch of all checks (/v1/health/state/any), which wakes when any check of any service or node flips,
- a watch of the catalog (/v1/catalog/services), which wakes when anything is registered, changed or removed,

and `FETCHERS` connections ask for the services that these name. What wakes the catalog's watch and leaves its
content as it was (an instance without a check, another weight or address) cannot be told apart: then all
services are asked, at most every `SWEEP_INTERVAL`. Not so when the watch of all checks tells of the very same write,
by its index, which is how an instance with checks comes and goes: its service is known then. As another write may hide
behind it, done while nobody waited for either, all are asked some time later (`LATE_SWEEP`). The index of the answer of
a service that changed explains a write as well: several may come in one answer of the checks.

A service is asked with the index of its own last answer where a change of it has been seen. A server that lags
behind then waits for the change instead of telling of the time before it, and the answer is unbroken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from random import Random
from typing import NoReturn

import trio

from discovery.consul_sd.checks import Checks, changed_services, decode_checks
from discovery.consul_sd.client import ConsulClient, Reply
from discovery.consul_sd.decode import DecodeError, decode_services
from discovery.consul_sd.errors import ConsulError, Unreachable
from discovery.consul_sd.pacing import Backoff
from discovery.consul_sd.service import ServiceWatch
from discovery.consul_sd.watch import Connect, watch

FETCHERS = 8
FETCH_WAIT = 1.0  # seconds that a server may take to learn of a change that another one told of
SWEEP_INTERVAL = 5.0
EXPLAIN_WAIT = 1.0  # seconds that the watch of all checks has to tell of a write that the catalog's told of
LATE_SWEEP = 10.0  # seconds after a write that both told of
REMEMBERED = 64  # indexes of writes that are explained

OnReply = Callable[[str, Reply], None]
OnFailure = Callable[[str, ConsulError], None]


class Aggregate:
    """Feeds the watches of all services in use. `keys` are the names of its own two watches."""

    keys = ("catalog of all services", "checks of all services")

    def __init__(
        self,
        services: Mapping[str, ServiceWatch],
        *,
        connect: Connect,
        connect_to_fetch: Connect,
        random: Random,
        on_success: OnReply,
        on_failure: OnFailure,
    ) -> None:
        """`services` are those in use, as they come and go; `connect_to_fetch` makes clients that wait `FETCH_WAIT`."""
        self._services = services
        self._connect = connect
        self._connect_to_fetch = connect_to_fetch
        self._random = random
        self._on_success = on_success
        self._on_failure = on_failure
        self._checks: Checks | None = None
        self._catalog: Mapping[str, tuple[str, ...]] | None = None
        self._changed: dict[str, None] = {}  # to be asked, in this order...
        self._unsure: dict[str, None] = {}  # ...then these, of which no change has been seen
        self._seen: set[str] = set()  # services that have been asked for
        self._has_work = trio.Event()
        self._wants_sweep = trio.Event()
        self._known_writes: deque[int] = deque(maxlen=REMEMBERED)  # indexes of which it is clear what they changed
        self._unexplained: set[int] = set()  # those of the catalog's answers that no such is known of

    async def run(self) -> None:
        """Watches until cancelled."""
        catalog, checks = self.keys
        async with trio.open_nursery() as nursery:
            for _ in range(FETCHERS):
                nursery.start_soon(self._fetch_for_ever)
            nursery.start_soon(self._sweep_for_ever)
            nursery.start_soon(
                watch, self._connect, _query_catalog, self._on_catalog, self._failing(catalog), self._random
            )
            nursery.start_soon(
                watch, self._connect, _query_checks, self._on_checks, self._failing(checks), self._random
            )
            self.ask_new()

    def ask(self, services: Iterable[str]) -> None:
        """Asks for services anew, without relying on what was known of them."""
        self._seen = set(self._services)
        for service in services:
            if service in self._services:
                self._services[service].index = 0
            self._mark(self._unsure, service)

    def ask_new(self) -> None:
        """Asks for services that have come since."""
        for service in self._services.keys() - self._seen:
            self._mark(self._unsure, service)
        self._seen = set(self._services)

    # -- what the two watches tell --

    def _on_checks(self, reply: Reply, is_unbroken: bool) -> None:
        before = self._checks
        self._checks = decode_checks(reply.data, before or frozenset())
        if not is_unbroken:
            self._known_writes.clear()  # an agent that restarted counts anew
        self._explain(reply.index)
        self._on_success(self.keys[1], reply)
        if before is None or not is_unbroken:
            self._begin(is_unbroken=before is None)
            return
        services, nodes = changed_services(before, self._checks)
        for name, each in self._services.items():
            if name in services or (nodes and not nodes.isdisjoint(each.nodes)):
                self._mark(self._changed, name)

    def _on_catalog(self, reply: Reply, is_unbroken: bool) -> None:
        before, self._catalog = self._catalog, decode_services(reply.data)
        self._on_success(self.keys[0], reply)
        if before is None or not is_unbroken:
            self._begin(is_unbroken=before is None)
        elif before != self._catalog:
            for name in self._services:
                if before.get(name) != self._catalog.get(name):
                    self._mark(self._changed, name)
        if not reply.is_repeat:
            if reply.index not in self._known_writes or not is_unbroken:
                self._unexplained.add(reply.index)
            self._wants_sweep.set()  # what else changed does not show in it

    def _explain(self, index: int) -> None:
        """It is clear which service the write of this index changed."""
        self._known_writes.append(index)
        self._unexplained.discard(index)

    def _begin(self, *, is_unbroken: bool) -> None:
        """A watch sees every change from now on: what was asked for before may lack one."""
        if is_unbroken:
            for name in self._services:
                self._mark(self._unsure, name)
        else:
            self.ask(self._services)

    def _failing(self, key: str) -> Callable[[ConsulError], None]:
        def failed(error: ConsulError) -> None:
            for each in self._services.values():
                each.index = 0  # the chain is broken for every service
            self._on_failure(key, error)

        return failed

    async def _sweep_for_ever(self) -> NoReturn:
        late = float("inf")  # when a sweep is due though all is explained
        while True:
            with trio.move_on_at(late):
                await self._wants_sweep.wait()
                self._wants_sweep = trio.Event()
                late = min(late, trio.current_time() + LATE_SWEEP)
                await trio.sleep(EXPLAIN_WAIT)
            if self._unexplained or trio.current_time() >= late:
                self._unexplained.clear()
                late = float("inf")
                for name in self._services:
                    self._mark(self._unsure, name)
                await trio.sleep(SWEEP_INTERVAL)

    # -- asking for one service --

    def _mark(self, queue: dict[str, None], service: str) -> None:
        queue[service] = None
        self._has_work.set()

    async def _fetch_for_ever(self) -> NoReturn:
        backoff = Backoff(self._random)
        async with self._connect_to_fetch() as client:
            while True:
                while not (self._changed or self._unsure):
                    self._has_work = trio.Event()
                    await self._has_work.wait()
                is_change_seen = bool(self._changed)
                queue = self._changed or self._unsure
                name = next(iter(queue))
                self._changed.pop(name, None)
                self._unsure.pop(name, None)
                service = self._services.get(name)
                if service is None:
                    continue
                known = service.index
                try:
                    await self._fetch(client, service, known, known if is_change_seen else 0)
                except (ConsulError, DecodeError) as error:
                    service.on_error(error if isinstance(error, ConsulError) else Unreachable(f"Consul: {error}"))
                    await trio.sleep(backoff.delay())
                    self._mark(self._unsure, name)
                else:
                    backoff.reset()

    async def _fetch(self, client: ConsulClient, service: ServiceWatch, known: int, index: int) -> None:
        """One query. `known` is the index of the last answer, 0 if that proves nothing; `index` is asked with."""
        reply = await client.health(service.service, index)
        if self._services.get(service.service) is not service:
            return  # dropped meanwhile
        if index:
            self._explain(reply.index)
        is_unbroken = 0 < known == service.index and reply.index >= known
        service.on_reply(replace(reply, is_repeat=True) if reply.index == known else reply, is_unbroken)


async def _query_catalog(client: ConsulClient, index: int) -> Reply:
    return await client.services(index)


async def _query_checks(client: ConsulClient, index: int) -> Reply:
    return await client.checks(index)
