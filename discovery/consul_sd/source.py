"""Consul as a Source: one watch per service in use, and one of the catalog for services that tag themselves.

Each watch has a connection of its own (see `client`). Consul allows 200 per address by default and does
not notice at once that one has closed, so `update` keeps every watch that stays wanted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from random import Random

import trio

from discovery.consul_sd.client import WAIT, ConsulClient, Reply
from discovery.consul_sd.decode import decode_services
from discovery.consul_sd.errors import ConsulError
from discovery.consul_sd.freshness import Freshness
from discovery.consul_sd.service import ServiceWatch
from discovery.consul_sd.tls import tls_context
from discovery.consul_sd.watch import watch
from discovery.settings import ConsulSettings
from discovery.source import Emit

CATALOG = "catalog"  # the key of the catalog's watch; services have "service NAME"
CONTACT_LIMIT = 10.0  # seconds without word from the leader before its data count as stale


class ConsulSource:
    """Watches services in Consul; see `discovery.source.Source`."""

    name = "consul"

    def __init__(
        self,
        settings: ConsulSettings,
        services: frozenset[str],
        watch_tags: bool = True,
        *,
        wait: float = WAIT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`services` by Consul's names. `wait` is how long a query may hang, in seconds; `clock` gives Unix time.

        Raises ConsulError if a TLS file cannot be used.
        """
        self._settings = settings
        self._services = services
        self._prefixes = settings.tag_prefixes if watch_tags else ()
        self._wait = wait
        self._clock = clock
        self._tls = tls_context(settings)
        self._random = Random()  # noqa: S311 - jitter
        self._freshness = Freshness(self.name)
        self._watches: dict[str, ServiceWatch] = {}
        self._scopes: dict[str, trio.CancelScope] = {}
        self._catalog: Mapping[str, tuple[str, ...]] = {}  # as last answered
        self._emit: Emit | None = None
        self._nursery: trio.Nursery | None = None

    def update(self, services: frozenset[str]) -> None:
        """Replaces the services in use. Watches that stay wanted go on undisturbed."""
        self._services = services
        self._reconcile()

    async def run(self, emit: Emit) -> None:
        """See `discovery.source.Source`."""
        self._emit = emit
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                if self._prefixes:
                    self._freshness.add(CATALOG)
                self._reconcile()
                if self._prefixes:
                    await watch(self._connect, _query_catalog, self._on_catalog, self._on_catalog_failure, self._random)
                self._publish_state()  # with nothing to watch it is fresh
                await trio.sleep_forever()
            finally:
                self._nursery = self._emit = None
                self._watches.clear()
                self._scopes.clear()
                self._freshness = Freshness(self.name)

    def _connect(self) -> ConsulClient:
        return ConsulClient(self._settings, tls=self._tls, wait=self._wait)

    # -- which services are watched --

    def _wanted(self) -> frozenset[str]:
        tagged = {name for name, tags in self._catalog.items() if any(tag.startswith(self._prefixes) for tag in tags)}
        # one whose routes are in force stays until it is seen without the tags, or its routes' time is over
        kept = {name for name, each in self._watches.items() if each.has_routes and name not in self._catalog}
        return self._services | tagged | kept

    def _reconcile(self) -> None:
        if self._nursery is None or self._emit is None:
            return
        wanted = self._wanted()
        for service in self._watches.keys() - wanted:
            self._freshness.drop(_key(service))
            self._scopes.pop(service).cancel()
            self._watches.pop(service).withdraw()
        for service in sorted(wanted - self._watches.keys()):
            self._freshness.add(_key(service))
            each = ServiceWatch(
                service,
                source=self.name,
                grace=self._settings.removal_grace,
                tag_prefixes=self._prefixes,
                emit=self._emit,
                on_success=self._on_success,
                on_failure=self._on_failure,
                on_names=self._publish_state,
                on_gone=self._on_gone,
            )
            self._watches[service] = each
            self._scopes[service] = trio.CancelScope()
            self._nursery.start_soon(self._run_watch, each, self._scopes[service])
        self._publish_state()

    async def _run_watch(self, each: ServiceWatch, scope: trio.CancelScope) -> None:
        with scope:
            await each.run(self._connect, self._random)

    def _on_gone(self, service: str) -> None:
        self._reconcile()

    # -- what the watches tell --

    def _on_catalog(self, reply: Reply, is_unbroken: bool) -> None:
        self._catalog = decode_services(reply.data)
        self._freshness.succeeded(CATALOG, self._clock(), doubt=_doubt(reply))
        self._reconcile()

    def _on_catalog_failure(self, error: ConsulError) -> None:
        self._freshness.failed(CATALOG, self._clock(), str(error))
        self._publish_state()

    def _on_success(self, service: str, reply: Reply) -> None:
        self._freshness.succeeded(_key(service), self._clock(), doubt=_doubt(reply))
        self._publish_state()

    def _on_failure(self, service: str, error: ConsulError) -> None:
        self._freshness.failed(_key(service), self._clock(), str(error))
        self._publish_state()

    def _publish_state(self) -> None:
        if self._emit is None:
            return
        notes = (each.note() for each in self._watches.values())
        state = self._freshness.state("; ".join(note for note in notes if note))
        if state is not None:
            self._emit(state)


async def _query_catalog(client: ConsulClient, index: int) -> Reply:
    return await client.services(index)


def _key(service: str) -> str:
    return f"service {service}"


def _doubt(reply: Reply) -> str:
    """Why an answer is used and yet not trusted; empty if it is."""
    if not reply.leader_known:
        return "Consul's servers have no leader: its data may be old"
    if reply.last_contact > CONTACT_LIMIT:
        return f"Consul's server has not heard of its leader for {reply.last_contact:.0f} s: its data may be old"
    return ""
