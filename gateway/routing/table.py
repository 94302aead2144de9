"""Compiles the routes of a snapshot into the table that requests are matched with."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.routing.compiled import CompiledRoute, Leaf, Pattern, PatternKind
from gateway.routing.gate import put_gates
from gateway.routing.match import HostTable, RouteTable
from gateway.snapshot.model import RouteRecord

_PatternKey = tuple[PatternKind, tuple[bytes, ...]]


def compile_table(routes: Sequence[RouteRecord]) -> RouteTable:
    """The table for these routes. Of two that match the same requests the earlier one is used."""
    groups: dict[str, dict[_PatternKey, list[CompiledRoute]]] = {}
    for record in routes:
        pattern = Pattern(record.path)
        patterns = groups.setdefault(record.host.lower(), {})
        patterns.setdefault(pattern.key, []).append(CompiledRoute(record, pattern))
    tables: dict[str, HostTable] = {}
    for host, patterns in groups.items():
        table = tables[host] = HostTable(host)
        for same in patterns.values():
            put_gates(same)
            table.add(Leaf(same[0].pattern, same))
        if table.texts is not None:
            table.texts.finish()
    no_host = tuple(tables[host] for host in ("",) if host in tables)
    # Shorter suffixes first, so that the chain of every less specific wildcard is there already.
    wildcards: dict[bytes, tuple[HostTable, ...]] = {}
    for host in sorted((host for host in tables if host.startswith("*.")), key=len):
        suffix = host[1:].encode()
        wildcards[suffix] = (tables[host], *_less_specific(suffix, wildcards, no_host))
    exact_hosts: dict[bytes, tuple[HostTable, ...]] = {}
    for host in tables:
        if host and not host.startswith("*.") and ":" not in host:
            name = host.encode()
            chain = (tables[host], *_less_specific(name, wildcards, no_host))
            exact_hosts[name] = chain
            exact_hosts.setdefault(name + b".", chain)  # the fully qualified form of the same name
    ports = {host.encode(): table for host, table in tables.items() if ":" in host}
    return RouteTable(exact_hosts, wildcards, no_host, ports)


def _less_specific(
    host: bytes, wildcards: dict[bytes, tuple[HostTable, ...]], no_host: tuple[HostTable, ...]
) -> tuple[HostTable, ...]:
    """The chain of the longest wildcard suffix shorter than the host, which holds all shorter ones."""
    at = host.find(b".", 1)
    while at > 0:
        chain = wildcards.get(host[at:])
        if chain is not None:
            return chain
        at = host.find(b".", at + 1)
    return no_host
