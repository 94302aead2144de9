"""The sources that a gateway needs: the static one, DNS, and one of Consul for each datacenter in use.

Which datacenters are in use, and which services are asked for there, follows from what is declared; failover
datacenters are watched all the time, so that a failover costs no round trip. How Consul is reached may change
while the gateway runs: every source goes on with the new settings, and what is known stays in use until
Consul has answered under them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import structlog
import trio

from discovery import cachefile
from discovery.consul_sd.names import source_name
from discovery.consul_sd.remembered import Pen, RememberedConsul
from discovery.consul_sd.source import BUDGET, ConsulSource
from discovery.consul_sd.tls import tls_fingerprint
from discovery.dns_sd.resolver import Resolver
from discovery.dns_sd.source import DnsSource
from discovery.model import ServiceSpec
from discovery.settings import ConsulSettings, DnsSettings
from discovery.source import Emit
from discovery.static import StaticSource
from gateway.supervisor.listing import DNS, STATIC, tiers_of

log = structlog.get_logger(__name__)


class Discovery:
    """Runs the sources and keeps them at what is wanted."""

    def __init__(
        self,
        settings: ConsulSettings | None,
        services: Iterable[ServiceSpec],
        emit: Emit,
        on_end: Callable[[str], None],
        *,
        dns: DnsSettings,
        gateway: str,
    ) -> None:
        """`services` as far as they are known before anything is asked; `on_end` is told of a source that ended;
        `gateway` is its name.

        Raises ConsulError if a TLS file cannot be used.
        """
        self._settings = settings
        self._fingerprint = tls_fingerprint(settings)
        self._emit = emit
        self._on_end = on_end
        self._gateway = gateway
        self.pen = Pen()
        self._resolver = Resolver(dns)
        self._static = StaticSource({})
        self._dns = DnsSource({}, self._resolver)
        self._consul: dict[str, ConsulSource] = {}  # by datacenter, "" for the one that is asked anyway
        self._scopes: dict[str, trio.CancelScope] = {}
        self._nursery: trio.Nursery | None = None
        self.want({spec.name: spec for spec in services})
        self._first = frozenset(map(source_name, self._consul))

    def awaited(self) -> tuple[str, ...]:
        """The sources without whose first answer the gateway is not ready: those it started with."""
        names = (DNS,) if self._dns.is_used else ()
        return (STATIC, *names, *sorted(self._first.intersection(map(source_name, self._consul))))

    async def run(self) -> None:
        """Runs the sources until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._static.run, self._emit)
            nursery.start_soon(self._dns.run, self._emit)
            for datacenter, source in self._consul.items():
                self._start(datacenter, source)

    def want(self, services: Mapping[str, ServiceSpec]) -> None:
        """The services that are declared now."""
        self._services = services
        targets = {spec.name: spec.targets for spec in services.values() if spec.targets}
        self._static.update(targets)
        self._dns.update(targets)
        self._reconcile()

    def configure(self, settings: ConsulSettings | None) -> bool:
        """How Consul is reached from now on; True if that is news. Raises ConsulError if a TLS file cannot be used."""
        fingerprint = tls_fingerprint(settings)
        if (settings, fingerprint) == (self._settings, self._fingerprint):
            return False
        self._settings, self._fingerprint = settings, fingerprint
        self._reconcile(is_other=True)
        log.info("consul is asked anew, with other settings" if settings else "consul is no longer asked")
        return True

    def _reconcile(self, *, is_other: bool = False) -> None:
        wanted = self._wanted()
        for datacenter in self._consul.keys() - wanted.keys():
            self._end(datacenter)
        budget = BUDGET // max(1, len(wanted))
        for datacenter, services in wanted.items():
            assert self._settings is not None
            settings = replace(self._settings, datacenter=datacenter) if datacenter else self._settings
            source = self._consul.get(datacenter)
            if source is not None:
                source.update(services, settings=settings if is_other else None, budget=budget)
                continue
            is_own = not datacenter
            self._consul[datacenter] = source = ConsulSource(
                settings,
                services,
                is_own,
                watch_keys=is_own,
                name=source_name(datacenter),
                resolver=self._resolver,
                budget=budget,
            )
            self._start(datacenter, source)

    def _wanted(self) -> dict[str, frozenset[str]]:
        """The services asked for, by datacenter."""
        if self._settings is None:
            return {}
        wanted: dict[str, set[str]] = {"": set()}
        for spec in self._services.values():
            for datacenter in tiers_of(spec):
                wanted.setdefault(datacenter, set()).add(spec.consul)
        return {datacenter: frozenset(services) for datacenter, services in wanted.items()}

    def _start(self, datacenter: str, source: ConsulSource) -> None:
        if self._nursery is not None:
            scope = self._scopes[datacenter] = trio.CancelScope()
            remembered = RememberedConsul(
                source, lambda: state_file(self._gateway, source.settings, datacenter), self.pen
            )
            self._nursery.start_soon(self._run_source, scope, remembered)

    async def _run_source(self, scope: trio.CancelScope, source: RememberedConsul) -> None:
        with scope:
            await source.run(self._emit)

    def _end(self, datacenter: str) -> None:
        self._consul.pop(datacenter).withdraw()
        scope = self._scopes.pop(datacenter, None)
        if scope is not None:
            scope.cancel()
        self._on_end(source_name(datacenter))


def state_file(gateway: str, consul: ConsulSettings, datacenter: str) -> Path | None:
    """Where what a datacenter said outlives the gateway; None if nowhere. Raises RuntimeError: no home directory."""
    if consul.state_file == cachefile.OFF:
        return None
    if consul.state_file:
        return Path(f"{consul.state_file}.{datacenter}" if datacenter else consul.state_file)
    return cachefile.default_path(os.environ, gateway, consul.address, consul.datacenter)
