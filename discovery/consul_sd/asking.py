"""Who asks for the services in use: each on a connection of its own within a budget, all together beyond it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random

import trio

from discovery.consul_sd.aggregate import Aggregate, Catalog
from discovery.consul_sd.client import Reply
from discovery.consul_sd.reports import Reports
from discovery.consul_sd.service import ServiceWatch
from discovery.consul_sd.watch import Connect

RETURN_SHARE = 0.75  # of the budget, below which services get a connection of their own again


class Asking:
    """Keeps those asked that are in use. It asks for nothing outside `begin` and `end`."""

    def __init__(
        self,
        services: Mapping[str, ServiceWatch],
        *,
        budget: int,
        connect: Connect,
        connect_to_fetch: Connect,
        random: Random,
        reports: Reports,
    ) -> None:
        """`services` are those in use, as they come and go; `connect_to_fetch`: see `fetching`."""
        self.budget = budget
        self._services = services
        self._connect = connect
        self._connect_to_fetch = connect_to_fetch
        self._random = random
        self._reports = reports
        self._scopes: dict[str, trio.CancelScope] = {}  # of services with a connection of their own
        self._aggregate: Aggregate | None = None
        self._aggregate_scope = trio.CancelScope()
        self._session: trio.Nursery | None = None

    @property
    def is_together(self) -> bool:
        """Are the services beyond the budget?"""
        return self._aggregate is not None

    def begin(self, session: trio.Nursery) -> None:
        """From now on, in this nursery."""
        self._session = session

    def end(self) -> None:
        """The nursery has ended."""
        self._session = self._aggregate = None
        self._scopes.clear()

    def follow(self, catalog: Catalog | None, *, is_told: bool) -> None:
        """The services in use are others, or the budget is. `catalog`, if it is known, as of now; `is_told`: somebody
        watches it, and passes on what it answers."""
        if self._session is None:
            return
        limit = self.budget * (RETURN_SHARE if self._aggregate else 1)
        if len(self._services) > limit:
            for service in tuple(self._scopes):
                self.stop(service)
            self._start_aggregate(self._session, catalog if is_told else None, is_told)
        else:
            self._stop_aggregate()
            for service in sorted(self._services.keys() - self._scopes.keys()):
                self._start(service, self._session)

    def stop(self, service: str) -> None:
        """It is not in use any more."""
        scope = self._scopes.pop(service, None)
        if scope is not None:
            scope.cancel()

    def again(self, services: Iterable[str]) -> None:
        """There may be more to know of these, and no watch wakes for it."""
        for service in services:
            if self._aggregate is not None:
                self._aggregate.ask([service])
            elif self._session is not None and service in self._scopes:
                self.stop(service)
                self._start(service, self._session)

    def on_catalog(self, reply: Reply, catalog: Catalog, is_unbroken: bool) -> None:
        """An answer of the catalog's watch, where there is one."""
        if self._aggregate is not None:
            self._aggregate.on_catalog(reply, catalog, is_unbroken)

    def on_catalog_break(self) -> None:
        """It has no answer."""
        if self._aggregate is not None:
            self._aggregate.on_catalog_break()

    def _start(self, service: str, session: trio.Nursery) -> None:
        async def run(scope: trio.CancelScope, watch: ServiceWatch) -> None:
            with scope:
                await watch.watch(self._connect, self._random)

        scope = self._scopes[service] = trio.CancelScope()
        session.start_soon(run, scope, self._services[service])

    def _start_aggregate(self, session: trio.Nursery, catalog: Catalog | None, is_told: bool) -> None:
        if self._aggregate is not None:
            self._aggregate.ask_new()
            return

        async def run(scope: trio.CancelScope, aggregate: Aggregate) -> None:
            with scope:
                await aggregate.run()

        self._aggregate = Aggregate(
            self._services,
            budget=self.budget,
            catalog=catalog,
            is_told=is_told,
            connect=self._connect,
            connect_to_fetch=self._connect_to_fetch,
            random=self._random,
            reports=self._reports,
        )
        self._aggregate_scope = trio.CancelScope()
        session.start_soon(run, self._aggregate_scope, self._aggregate)

    def _stop_aggregate(self) -> None:
        if self._aggregate is not None:
            self._aggregate_scope.cancel()
            self._aggregate = None
