"""Many services with few connections: watches that see every change together, and queries for what changed.

Consul allows 200 connections per address and keeps the slot of one that has closed until its query's wait
is over. So beyond a budget the services share

- watches of all checks (see `check_watches`), which wake when any check of any service or node flips,
- a watch of the catalog (/v1/catalog/services), which wakes when anything is registered, changed or removed, and makes
  Consul list every service each time, so that it is asked no more than once a second while changes come,

and a few connections ask for the services that these name (see `fetching`). What they do not name is looked for in
sweeps (see `sweeps`): node by node where each has a watch, else service by service.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import partial
from random import Random

import trio

from discovery.consul_sd.check_watches import ALL, CheckWatches
from discovery.consul_sd.client import ConsulClient, Reply
from discovery.consul_sd.decode import DecodeError, decode_services
from discovery.consul_sd.errors import ConsulError
from discovery.consul_sd.fetching import FETCHERS, Fetching
from discovery.consul_sd.node_services import NodeServices
from discovery.consul_sd.pacing import Bucket
from discovery.consul_sd.reports import Reports
from discovery.consul_sd.service import ServiceWatch
from discovery.consul_sd.sweeps import Sweeps
from discovery.consul_sd.watch import Connect, watch

Catalog = Mapping[str, tuple[str, ...]]

KEY = "catalog of all services"
CATALOG_PACE = 1.0  # seconds between two answers of the catalog, once two have come quickly
BEGIN_WAIT = 1.0  # seconds that the watches have to begin before services are asked for all the same


class Aggregate:
    """Feeds the watches of all services in use."""

    def __init__(
        self,
        services: Mapping[str, ServiceWatch],
        *,
        budget: int,
        catalog: Catalog | None,
        is_told: bool,
        connect: Connect,
        connect_to_fetch: Connect,
        random: Random,
        reports: Reports,
    ) -> None:
        """`services` are those in use, as they come and go; `budget`: so many connections. `is_told`: somebody else
        watches the catalog and passes on what it answers; `catalog` is what it answered last, if it has.
        `connect_to_fetch`: see `fetching`.
        """
        self._services = services
        self._catalog = catalog
        self._is_told = is_told
        self._connect = connect
        self._connect_to_fetch = connect_to_fetch
        self._random = random
        self._reports = reports
        self._sweeps = Sweeps(self._sweep)
        self._fetching = Fetching(services, connect=connect_to_fetch, random=random, on_change=self._sweeps.explain)
        self._checks = CheckWatches(
            self, most_nodes=budget - FETCHERS - 1, connect=connect, random=random, reports=reports
        )
        self._node_services = NodeServices()
        self._seen: set[str] = set()  # services that have been asked for
        self._are_checks_seen = False
        self._begun = trio.Event()
        self._is_asking = False

    async def run(self) -> None:
        """Watches until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._fetching.run)
                nursery.start_soon(self._checks.run)
                nursery.start_soon(self._ask)
                if not self._is_told:
                    self._reports.add(KEY)
                    nursery.start_soon(
                        partial(watch, bucket=Bucket(CATALOG_PACE)),
                        self._connect,
                        _query_catalog,
                        self._on_catalog,
                        self._on_catalog_failure,
                        self._random,
                    )
        finally:
            if not self._is_told:
                self._reports.drop(KEY)

    async def _ask(self) -> None:
        """What is asked for before the watches have begun must be asked for again, so they have a moment."""
        with trio.move_on_after(BEGIN_WAIT):
            await self._begun.wait()
        self._is_asking = True
        self.ask_new()
        await self._sweeps.run()

    def ask(self, services: Iterable[str]) -> None:
        """Asks for services anew, without relying on what was known of them."""
        for service in services:
            if service in self._services:
                self._services[service].index = 0
                self._seen.add(service)
                self._fetching.unsure(service)

    def ask_new(self) -> None:
        """Asks for services that have come since."""
        if self._is_asking:
            for service in self._services.keys() - self._seen:
                self._fetching.unsure(service)
            self._seen = set(self._services)

    # -- what the catalog tells --

    def on_catalog(self, reply: Reply, catalog: Catalog, is_unbroken: bool) -> None:
        """An answer of the catalog's watch."""
        before, self._catalog = self._catalog, catalog
        if before is None:
            self._begin()
        else:
            for name in self._services:
                if before.get(name) != catalog.get(name):
                    self._fetching.changed(name, reply.index)
        if not is_unbroken and before is not None:
            self.on_recovery(ALL, frozenset())
        elif before is not None and not reply.is_repeat:
            self._sweeps.wrote(reply.index)  # what else changed does not show in it

    def on_catalog_break(self) -> None:
        """The catalog's watch has no answer."""
        self.on_break(ALL, frozenset())

    def _on_catalog(self, reply: Reply, is_unbroken: bool) -> None:
        self.on_catalog(reply, decode_services(reply.data), is_unbroken)
        self._reports.succeeded(KEY, reply)

    def _on_catalog_failure(self, error: ConsulError) -> None:
        self.on_catalog_break()
        self._reports.failed(KEY, error)

    # -- what the checks tell: see `check_watches.Listener` --

    def on_begun(self) -> None:
        self._are_checks_seen = True
        self._begin()

    def on_checks(self, services: Collection[str], nodes: Collection[str], index: int) -> None:
        if services or nodes:  # else only what a check says is another, and its service may be as well
            self._sweeps.explain(index)
        for name in services:
            self._fetching.changed(name, index)
        for name in self._on_nodes(nodes):
            self._fetching.changed(name, index)

    def on_break(self, node: str, services: Collection[str]) -> None:
        for name in self._concerned(node, services):
            self._services[name].index = 0  # the chain is broken

    def on_recovery(self, node: str, services: Collection[str]) -> None:
        self._sweeps.forget()  # an agent that restarted counts anew
        self.ask(self._concerned(node, services))

    def _concerned(self, node: str, services: Collection[str]) -> Collection[str]:
        if node == ALL:
            return tuple(self._services)
        return {*self._on_nodes([node]), *(name for name in services if name in self._services)}

    def _on_nodes(self, nodes: Collection[str]) -> list[str]:
        """The services that have instances there, as far as is known."""
        if not nodes:
            return []
        return [name for name, each in self._services.items() if not each.nodes.isdisjoint(nodes)]

    # -- sweeps --

    def _begin(self) -> None:
        """The watches see every change from now on, if all have begun: what was asked for before may lack one."""
        if self._are_checks_seen and self._catalog is not None:
            self._node_services.forget()
            self._sweeps.demand()
            self._begun.set()

    async def _sweep(self) -> None:
        nodes = self._checks.nodes
        if not nodes:
            return self._ask_all()
        try:
            async with self._connect_to_fetch() as client:
                changes = await self._node_services.changes(client, nodes)
        except (ConsulError, DecodeError):
            self._node_services.forget()
            return self._ask_all()  # which says what is wrong, if it is still
        if changes is None:
            return self._ask_all()
        for name, index in changes.items():
            if name in self._services and self._services[name].index < index:
                self._fetching.unsure(name)

    def _ask_all(self) -> None:
        for name in self._services:
            self._fetching.unsure(name)


async def _query_catalog(client: ConsulClient, index: int) -> Reply:
    return await client.services(index)
