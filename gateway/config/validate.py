"""Everything that is wrong with a configuration, at once: the schema's word, and what no schema can say.

Tables with faults are looked at as well, without their faulty keys, so that a typing error in one
place does not hide a missing service in another. Checks that need a faulty key leave it alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import ValidationError

from discovery.model import join_address
from gateway.config.kinds import Section
from gateway.config.model import ConsulConfig, DnsConfig, FileConfig, GatewayConfig, RouteConfig, ServiceConfig
from gateway.config.problems import Fault, KeyPath, in_order, quoted, schema_faults, suggestion
from gateway.config.values import split_host_port, split_instance_url

SectionT = TypeVar("SectionT", bound=Section)
_OWN_PATHS = ("/health", "/ready")
_PROBE_OF = {  # the type of probe that a key of [services.health] is for; the others are for all
    "method": "http", "headers": "http", "body_contains": "http", "body_regex": "http",
    "send": "tcp", "expect": "tcp", "service": "grpc",
}  # fmt: skip
_STAND_INS = {"name": "unnamed", "path": "/", "url": "http://unnamed"}  # for required keys that are faulty


@dataclass(frozen=True, slots=True)
class Table(Generic[SectionT]):
    """One table of the file, with the keys of it that cannot be judged."""

    path: KeyPath
    value: SectionT
    faulty: frozenset[str]

    def sound(self, *keys: str) -> bool:
        """Can all of these keys be judged?"""
        return self.faulty.isdisjoint(keys)


@dataclass(frozen=True, slots=True)
class _Draft:
    """What could be understood of a configuration."""

    gateway: Table[GatewayConfig] | None
    consul: Table[ConsulConfig] | None
    has_consul: bool
    dns: Table[DnsConfig] | None
    services: tuple[Table[ServiceConfig], ...]
    routes: tuple[Table[RouteConfig], ...]


def examine(tables: dict[str, object], known: Sequence[Fault] = ()) -> tuple[FileConfig | None, list[Fault]]:
    """The configuration if nothing is wrong with it, and every fault in the order of the file's tables.

    `known` are faults found before (an unset variable): their keys are judged no further.
    """
    config: FileConfig | None = None
    faults = list(known)
    settled = {fault.path for fault in known}
    try:
        config = FileConfig.model_validate(tables)
    except ValidationError as error:
        faults += [fault for fault in schema_faults(error, tables) if fault.path not in settled]
    draft = _draft(tables, faults)
    faults += [fault for check in _CHECKS for fault in check(draft)]
    return (None if faults else config), in_order(faults)


def _draft(tables: dict[str, object], faults: Sequence[Fault]) -> _Draft:
    return _Draft(
        gateway=_table(GatewayConfig, tables.get("gateway", {}), ("gateway",), faults),
        consul=_table(ConsulConfig, tables.get("consul"), ("consul",), faults),
        has_consul="consul" in tables,
        dns=_table(DnsConfig, tables.get("dns", {}), ("dns",), faults),
        services=_array(ServiceConfig, tables, "services", faults),
        routes=_array(RouteConfig, tables, "routes", faults),
    )


def _array(
    model: type[SectionT], tables: dict[str, object], key: str, faults: Sequence[Fault]
) -> tuple[Table[SectionT], ...]:
    items = tables.get(key)
    found = [_table(model, item, (key, n), faults) for n, item in enumerate(items if isinstance(items, list) else [])]
    return tuple(table for table in found if table is not None)


def _table(model: type[SectionT], raw: object, path: KeyPath, faults: Sequence[Fault]) -> Table[SectionT] | None:
    """The table without its faulty keys; None if it is no table at all."""
    if not isinstance(raw, dict):
        return None
    depth = len(path)
    faulty = frozenset(
        str(fault.path[depth]) for fault in faults if fault.path[:depth] == path and len(fault.path) > depth
    )
    kept = {key: value for key, value in raw.items() if key not in faulty}
    stand_ins = {key: value for key, value in _STAND_INS.items() if key in faulty and key in model.model_fields}
    return Table(path, model.model_validate(stand_ins | kept), faulty)


def _listeners(draft: _Draft) -> Iterator[Fault]:
    """Every address once, and the admin interface on one of its own. Port 0 is a new port each time."""
    if draft.gateway is None or not draft.gateway.sound("listen"):
        return
    gateway = draft.gateway.value
    for position, address in enumerate(gateway.listen):
        first = gateway.listen.index(address)
        if first < position and not address.endswith(":0"):
            path = (*draft.gateway.path, "listen", position)
            yield Fault(path, f"{address} is listed already, at gateway.listen[{first}]; remove one of them")
    if not draft.gateway.sound("admin"):
        return
    clash = next((address for address in gateway.listen if _overlap(address, gateway.admin)), None)
    if clash is not None:
        path = (*draft.gateway.path, "admin")
        yield Fault(path, f"{gateway.admin} is taken by gateway.listen ({clash}); give it a port of its own")


def _overlap(one: str, other: str) -> bool:
    (host, port), (other_host, other_port) = split_host_port(one), split_host_port(other)
    wild = {"0.0.0.0", "::"}  # noqa: S104 (compared, not bound)
    return port == other_port != 0 and (host == other_host or not wild.isdisjoint((host, other_host)))


def _consul(draft: _Draft) -> Iterator[Fault]:
    """A certificate needs its key, and certificates need https://."""
    if draft.consul is None:
        return
    consul, path = draft.consul.value, draft.consul.path
    if draft.consul.sound("token", "token_file") and consul.token and consul.token_file:
        yield Fault((*path, "token_file"), "stands beside consul.token; keep one of them")
    for key, given, other, missing in (
        ("cert_file", consul.cert_file, "key_file", consul.key_file),
        ("key_file", consul.key_file, "cert_file", consul.cert_file),
    ):
        if given and not missing and draft.consul.sound("cert_file", "key_file"):
            yield Fault((*path, key), f"needs consul.{other} as well")
    if draft.consul.sound("address") and consul.address.startswith("http://"):
        for key in ("ca_file", "cert_file", "key_file"):
            if getattr(consul, key):
                yield Fault((*path, key), f"is for an https:// address only; consul.address is {consul.address}")


def _dns(draft: _Draft) -> Iterator[Fault]:
    """The floor is below the ceiling."""
    if draft.dns is None or not draft.dns.sound("min_ttl", "max_ttl"):
        return
    dns = draft.dns.value
    if dns.min_ttl > dns.max_ttl:
        yield Fault((*draft.dns.path, "min_ttl"), f"{dns.min_ttl:g} s is more than max_ttl, {dns.max_ttl:g} s")


def _services(draft: _Draft) -> Iterator[Fault]:
    """Names are unique, and every service has somewhere to find its instances."""
    first_use: dict[str, Table[ServiceConfig]] = {}
    for table in draft.services:
        service = table.value
        if table.sound("name"):
            first = first_use.setdefault(service.name, table)
            if first is not table:
                wrong = f"{quoted(service.name)} is the name of services[{first.path[1]}] already; names are unique"
                yield Fault((*table.path, "name"), wrong)
        if table.sound("consul", "instances", "dns") and not (service.consul or service.instances or service.dns):
            wrong = "has neither consul nor dns nor instances: name the service in Consul or DNS, or list instances"
            yield Fault(table.path, wrong)
        if table.sound("consul", "datacenter", "failover"):
            yield from _datacenters(table)
        if table.sound("consul") and service.consul and not draft.has_consul:
            wrong = "there is no Consul: add a [consul] table, or give --consul or CONSUL_HTTP_ADDR"
            yield Fault((*table.path, "consul"), wrong)
        if table.sound("instances"):
            yield from _instances(table)


def _datacenters(table: Table[ServiceConfig]) -> Iterator[Fault]:
    service = table.value
    for key in ("datacenter", "failover"):
        if getattr(service, key) and not service.consul:
            yield Fault((*table.path, key), "is for services of Consul: give consul, its name there, as well")
    if service.datacenter and service.datacenter in service.failover:
        wrong = f"names {quoted(service.datacenter)}, the service's own datacenter; list others only"
        yield Fault((*table.path, "failover"), wrong)


def _health(draft: _Draft) -> Iterator[Fault]:
    """No key of health checks is without effect: one that is of another type of probe, or of TLS without it."""
    for table in draft.services:
        if not table.sound("health"):
            continue
        health = table.value.health
        for key in sorted(health.model_fields_set):
            kind, path = _PROBE_OF.get(key, health.type), (*table.path, "health", key)
            if kind != health.type:
                yield Fault(path, f'is for type = "{kind}" only; type is "{health.type}"')
            elif key in ("tls_verify", "tls_ca_file") and not health.tls:
                yield Fault(path, "has no effect without tls = true")
        if health.tls_ca_file and not health.tls_verify:
            yield Fault((*table.path, "health", "tls_ca_file"), "has no effect with tls_verify = false")


def _instances(table: Table[ServiceConfig]) -> Iterator[Fault]:
    urls = [instance.url for instance in table.value.instances]
    for position, url in enumerate(urls):
        first = urls.index(url)
        if first < position:
            wrong = f"{url} is instances[{first}] already; use weight for a larger share"
            yield Fault((*table.path, "instances", position), wrong)


def _destinations(draft: _Draft) -> Iterator[Fault]:
    """A route has exactly one destination, and it exists."""
    names = [table.value.name for table in draft.services if table.sound("name")]
    all_known = all(table.sound("name") for table in draft.services)
    for table in draft.routes:
        route = table.value
        if not table.sound("service", "target_url"):
            continue
        if bool(route.service) == bool(route.target_url):
            has = "both service and target_url; keep one" if route.service else "neither service nor target_url"
            yield Fault(table.path, f"has {has}{'' if route.service else ': say where its requests go'}")
        elif route.service and route.service not in names and all_known:
            exist = f"services are: {', '.join(dict.fromkeys(names))}" if names else "there are no [[services]]"
            near = suggestion(route.service, names)
            yield Fault((*table.path, "service"), f"unknown service {quoted(route.service)}; {exist}{near}")
        elif route.target_url and join_address(*split_instance_url(route.target_url)) in names:
            wrong = f'{route.target_url} would be a service named as one in [[services]]; write service = "NAME"'
            yield Fault((*table.path, "target_url"), wrong)


def _timeouts(draft: _Draft) -> Iterator[Fault]:
    for table in draft.routes:
        route = table.value
        if table.sound("timeout", "per_try_timeout") and route.per_try_timeout > route.timeout:
            wrong = (
                f"{route.per_try_timeout:g} s is more than timeout, {route.timeout:g} s, which includes all attempts"
            )
            yield Fault((*table.path, "per_try_timeout"), wrong)


def _reachability(draft: _Draft) -> Iterator[Fault]:
    """No route is hidden by the gateway's own answers or by an earlier one with the same host and path.

    The most specific route wins, whatever the order, and one that lists the method before one that
    takes all. So only routes for the very same requests hide each other: the first of them wins.
    """
    earlier: dict[tuple[str, str], list[Table[RouteConfig]]] = {}
    for table in draft.routes:
        if not table.sound("path", "host", "methods"):
            continue
        route = table.value
        if route.path in _OWN_PATHS:
            yield Fault((*table.path, "path"), f"can never match: {route.path} is answered by the gateway itself")
            continue
        alike = earlier.setdefault((route.host, re.sub(r"\{[^/]*\}", "{}", route.path)), [])
        hidden_by = _hidden_by(route, [other.value for other in alike])
        if hidden_by is not None:
            position, methods = hidden_by
            yield Fault(table.path, _hidden(route, f"routes[{alike[position].path[1]}]", methods))
        alike.append(table)


def _hidden_by(route: RouteConfig, alike: list[RouteConfig]) -> tuple[int, tuple[str, ...]] | None:
    """(which of the earlier, the methods it takes from `route`); () means all that `route` takes."""
    for position, other in enumerate(alike):
        if not route.methods and not other.methods:
            return position, ()
        common = tuple(method for method in route.methods if method in other.methods)
        if common:
            return position, () if len(common) == len(route.methods) else common
    return None


def _hidden(route: RouteConfig, other: str, methods: tuple[str, ...]) -> str:
    where = f"the same host and path ({route.host}{route.path})"
    if methods:
        return f"{other} has {where} and takes {', '.join(methods)} from it; list each method in one route only"
    return f"can never match: {other} has {where} and takes all its traffic; change or remove one of them"


_CHECKS = (_listeners, _consul, _dns, _services, _health, _destinations, _timeouts, _reachability)
