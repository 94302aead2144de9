"""All checks of all services and nodes (/v1/health/state/any), and whose of them changed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from discovery.consul_sd.decode import DecodeError

States = Mapping[str, frozenset[tuple[str, str, str]]]  # by name: (node, check id, status)


@dataclass(frozen=True, slots=True)
class Checks:
    """The checks of each service, and of each node by itself (which are those of all its services)."""

    services: States
    nodes: States


def decode_checks(data: Any) -> Checks:
    """The JSON of /v1/health/state/any. Raises DecodeError."""
    services: dict[str, set[tuple[str, str, str]]] = {}
    nodes: dict[str, set[tuple[str, str, str]]] = {}
    try:
        for check in data:
            node, service = check["Node"], check.get("ServiceName") or ""
            states = services.setdefault(service, set()) if service else nodes.setdefault(node, set())
            states.add((node, check["CheckID"], check["Status"]))
    except (AttributeError, KeyError, TypeError) as error:
        raise DecodeError(f"an entry of /v1/health/state is malformed: {type(error).__name__} {error}") from error
    return Checks(_frozen(services), _frozen(nodes))


def changed_services(before: Checks, after: Checks) -> tuple[frozenset[str], frozenset[str]]:
    """(services, nodes) of which a check came, went or changed its status."""
    return _changed(before.services, after.services), _changed(before.nodes, after.nodes)


def _changed(before: States, after: States) -> frozenset[str]:
    return frozenset(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def _frozen(states: dict[str, set[tuple[str, str, str]]]) -> States:
    return {name: frozenset(each) for name, each in states.items()}
