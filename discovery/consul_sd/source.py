"""One datacenter of Consul as a Source: its services, the catalog for those that tag themselves, and the KV.

Each watch has a connection of its own (see `client`), up to a budget; beyond it all services share a few (see
`aggregate`). Consul does not notice at once that a connection has closed, so `update` keeps every watch
that stays wanted. Other settings begin a new session: all watches ask anew, and what is known stays in
use until they have answers, as after any break.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from random import Random

import trio

from discovery.consul_sd.aggregate import CATALOG_PACE
from discovery.consul_sd.asking import Asking
from discovery.consul_sd.client import WAIT, ConsulClient, Reply
from discovery.consul_sd.decode import decode_services
from discovery.consul_sd.errors import ConsulError
from discovery.consul_sd.fetching import FETCH_WAIT
from discovery.consul_sd.freshness import Freshness
from discovery.consul_sd.kv import KeyWatch
from discovery.consul_sd.names import CONSUL
from discovery.consul_sd.pacing import SHORTEST, Bucket
from discovery.consul_sd.permissions import TO_READ_CATALOG, Permission, to_read_keys, to_read_service
from discovery.consul_sd.reports import Reports
from discovery.consul_sd.rights import Rights
from discovery.consul_sd.saved import SavedView
from discovery.consul_sd.service import ServiceWatch
from discovery.consul_sd.tls import tls_context
from discovery.consul_sd.watch import watch
from discovery.dns_sd.resolver import Resolver
from discovery.settings import ConsulSettings, DnsSettings
from discovery.source import Emit

CATALOG = "catalog"  # the key of the catalog's watch; services have "service NAME"
KEYS = "keys"
BUDGET = 64  # connections for services: one for each, else all that they share


class ConsulSource:
    """Watches services in Consul; see `discovery.source.Source`."""

    def __init__(
        self,
        settings: ConsulSettings,
        services: frozenset[str],
        watch_tags: bool = True,
        *,
        resolver: Resolver | None = None,
        watch_keys: bool = False,
        name: str = CONSUL,
        budget: int = BUDGET,
        wait: float = WAIT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`services` by Consul's names; `resolver` is for addresses that are names (default: the system's). `wait` is
        how long a query may hang, in seconds; `clock` gives Unix time.

        Raises ConsulError if a TLS file cannot be used.
        """
        self.name = name
        self._settings = settings
        self._tls = tls_context(settings)
        self._services = services
        self._watch_tags = watch_tags
        self._watch_keys = watch_keys
        self._resolver = resolver or Resolver(DnsSettings())
        self._wait = wait
        self._random = Random()  # noqa: S311 - jitter
        self._freshness = Freshness(self.name)
        self._watches: dict[str, ServiceWatch] = {}
        self._upkeep: dict[str, trio.CancelScope] = {}
        self._catalog: Mapping[str, tuple[str, ...]] = {}  # as last answered
        self._restored: SavedView | None = None  # until the watches that go on from it have begun
        self._catalog_bucket = Bucket()
        self._has_catalog = False
        self._keys: KeyWatch | None = None
        self._rights = Rights(self.name, self._doubtful, self._on_denied)
        self._denied: frozenset[Permission] = frozenset()
        self._reports = Reports(self._freshness, self._rights, note=self._note, clock=clock)
        self._asking = Asking(
            self._watches,
            budget=budget,
            connect=self._connect,
            connect_to_fetch=lambda: ConsulClient(self._settings, tls=self._tls, wait=FETCH_WAIT),
            random=self._random,
            reports=self._reports,
        )
        self._emit: Emit | None = None
        self._nursery: trio.Nursery | None = None
        self._session: trio.Nursery | None = None

    @property
    def settings(self) -> ConsulSettings:
        """Those in force."""
        return self._settings

    def restore(self, view: SavedView) -> None:
        """To go on, when run, from what was known before."""
        self._restored = view
        self._freshness.restore(view.last_success)

    def view(self) -> SavedView:
        """What is known now, to be restored by a later process."""
        return SavedView(
            address=self._settings.address,
            datacenter=self._settings.datacenter,
            last_success=self._freshness.last_success,
            services={name: each.saved() for name, each in self._watches.items()},
            keys=self._keys.saved() if self._keys is not None else None,
        )

    def update(
        self, services: frozenset[str], *, settings: ConsulSettings | None = None, budget: int | None = None
    ) -> None:
        """Replaces the services in use, and what else is given. Watches that stay wanted go on undisturbed.

        Raises ConsulError if a TLS file cannot be used; then nothing changes.
        """
        if settings is not None:
            self._tls = tls_context(settings)
            self._settings = settings
        self._services = services
        self._asking.budget = self._asking.budget if budget is None else budget
        if settings is None:
            self._reconcile()
        elif self._session is not None:
            for each in self._watches.values():
                each.index = 0
                each.configure(settings.removal_grace, self._prefixes)
            self._session.cancel_scope.cancel()  # `run` begins the next one

    def withdraw(self) -> None:
        """It is no longer wanted: takes back all that it has emitted."""
        for each in self._watches.values():
            each.withdraw()
        if self._keys is not None:
            self._keys.withdraw()

    async def run(self, emit: Emit) -> None:
        """See `discovery.source.Source`."""
        self._emit = emit
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._reports.run, emit)
                while True:
                    await self._run_session()
        finally:
            self._nursery = self._emit = None  # what is known stays, for whoever saves it

    async def _run_session(self) -> None:
        """Watches with one set of settings."""
        try:
            async with trio.open_nursery() as session:
                self._session = session
                assert self._emit is not None
                session.start_soon(self._rights.run, self._connect, self._emit)
                self._asking.begin(session)
                self._reconcile()
                self._start_catalog(session)
                self._start_keys(session)
                self._restored = None
                self._reports.publish()  # with nothing to watch it is fresh
                await trio.sleep_forever()
        finally:
            self._session = None
            self._asking.end()

    @property
    def _prefixes(self) -> tuple[str, ...]:
        return self._settings.tag_prefixes if self._watch_tags else ()

    def _connect(self) -> ConsulClient:
        return ConsulClient(self._settings, tls=self._tls, wait=self._wait)

    # -- the catalog and the keys --

    def _start_catalog(self, session: trio.Nursery) -> None:
        if not self._prefixes:
            self._reports.drop(CATALOG)
            return
        self._reports.add(CATALOG)
        session.start_soon(
            partial(watch, bucket=self._catalog_bucket),
            self._connect,
            _query_catalog,
            self._on_catalog,
            self._on_catalog_failure,
            self._random,
        )

    def _start_keys(self, session: trio.Nursery) -> None:
        prefix, grace = self._settings.kv_prefix, self._settings.removal_grace
        if self._keys is not None and self._keys.prefix != prefix:
            self._keys.withdraw()
            self._keys = None
        if not self._watch_keys or not prefix or self._emit is None:
            self._reports.drop(KEYS)
            return
        if self._keys is None:
            self._keys = KeyWatch(
                prefix,
                source=self.name,
                grace=grace,
                emit=self._emit,
                on_success=self._on_keys,
                on_failure=lambda error: self._reports.failed(KEYS, error),
            )
            if self._restored is not None and self._restored.keys is not None:
                self._keys.restore(self._restored.keys)
        self._keys.entries.grace = grace
        self._reports.add(KEYS)
        session.start_soon(self._keys.run, self._connect, self._random)

    # -- which services are watched --

    def _wanted(self) -> frozenset[str]:
        tagged = {name for name, tags in self._catalog.items() if any(map(self._is_ours, tags))}
        # one whose routes are in force stays until it is seen without the tags, or its routes' time is over
        kept = {name for name, each in self._watches.items() if each.has_routes and name not in self._catalog}
        return self._services | tagged | kept | self._tagged_before

    @property
    def _tagged_before(self) -> frozenset[str]:
        """The services whose tags had made routes, while that is only restored."""
        if self._restored is None or not self._prefixes:
            return frozenset()
        return frozenset(name for name, each in self._restored.services.items() if each.tagged is not None)

    def _is_ours(self, tag: str) -> bool:
        return tag.lstrip().startswith(self._prefixes)

    def _reconcile(self) -> None:
        if self._nursery is None or self._emit is None:
            return
        wanted = self._wanted()
        for service in self._watches.keys() - wanted:
            self._reports.drop(_key(service))
            self._upkeep.pop(service).cancel()
            self._asking.stop(service)
            self._watches.pop(service).withdraw()
        for service in sorted(wanted - self._watches.keys()):
            self._watches[service] = each = self._new_watch(service, self._emit)
            if self._restored is not None and service in self._restored.services:
                each.restore(self._restored.services[service])
            self._upkeep[service] = trio.CancelScope()
            self._nursery.start_soon(_run_in, self._upkeep[service], each.run)
        self._asking.follow(self._catalog if self._has_catalog else None, is_told=bool(self._prefixes))
        self._reports.publish()

    def _new_watch(self, service: str, emit: Emit) -> ServiceWatch:
        self._reports.add(_key(service))
        return ServiceWatch(
            service,
            source=self.name,
            grace=self._settings.removal_grace,
            tag_prefixes=self._prefixes,
            resolver=self._resolver,
            emit=emit,
            on_success=self._on_service,
            on_failure=lambda service, error: self._reports.failed(_key(service), error),
            on_names=self._reports.publish,
            on_gone=lambda service: self._reconcile(),
        )

    # -- what the token may not see --

    def _doubtful(self) -> list[Permission]:
        """What it may lack: whatever answered with nothing, or no longer with all."""
        services = (service for service, each in self._watches.items() if each.is_doubtful)
        doubtful = [permission for service in services for permission in to_read_service(service)]
        if self._keys is not None and self._keys.is_doubtful:
            doubtful += to_read_keys(self._keys.prefix)
        if self._has_catalog and not self._catalog:  # Consul's own service is always there
            doubtful += TO_READ_CATALOG
        return doubtful

    def _on_denied(self, denied: frozenset[Permission]) -> None:
        before, self._denied = self._denied, denied
        for service, each in self._watches.items():
            needed = to_read_service(service)
            each.hold(not denied.isdisjoint(needed))
            if not before.isdisjoint(needed) and denied.isdisjoint(needed):
                self._asking.again([service])
        if self._keys is not None:
            self._keys.hold(not denied.isdisjoint(to_read_keys(self._keys.prefix)))

    # -- what the watches tell --

    def _on_catalog(self, reply: Reply, is_unbroken: bool) -> None:
        catalog = decode_services(reply.data)
        self._asking.on_catalog(reply, catalog, is_unbroken)
        if catalog != self._catalog or not self._has_catalog:
            self._catalog, self._has_catalog = catalog, True
            self._reconcile()
        self._catalog_bucket.shortest = CATALOG_PACE if self._asking.is_together else SHORTEST
        self._reports.succeeded(CATALOG, reply, is_doubtful=not catalog)

    def _on_catalog_failure(self, error: ConsulError) -> None:
        self._asking.on_catalog_break()
        self._reports.failed(CATALOG, error)

    def _on_service(self, service: str, reply: Reply) -> None:
        each = self._watches.get(service)
        if each is not None:  # else it was dropped while the answer was on its way
            self._reports.succeeded(_key(service), reply, is_doubtful=each.is_doubtful)

    def _on_keys(self, reply: Reply) -> None:
        self._reports.succeeded(KEYS, reply, is_doubtful=self._keys is not None and self._keys.is_doubtful)

    def _note(self) -> str:
        notes = (each.note() for each in self._watches.values())
        return "; ".join(note for note in notes if note)


async def _run_in(scope: trio.CancelScope, function: Callable[..., object], *arguments: object) -> None:
    with scope:
        await function(*arguments)  # type: ignore[misc]


async def _query_catalog(client: ConsulClient, index: int) -> Reply:
    return await client.services(index)


def _key(service: str) -> str:
    return f"service {service}"
