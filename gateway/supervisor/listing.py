"""Which instances a service has: the answers of all sources put together. Pure.

An address known from the file (or KV) and from Consul is one instance, with the file's weight and Consul's standing;
one known from several datacenters belongs to the nearest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from discovery.consul_sd.names import source_name
from discovery.model import Instance, ServiceSpec
from discovery.source import Answer, SourceState

STATIC: Final = "static"  # names of sources
DNS: Final = "dns"
WRITTEN: Final = (STATIC, DNS)  # those that call services by their own names


@dataclass(frozen=True, slots=True)
class Listed:
    """An instance in its service."""

    instance: Instance
    tier: int  # 0: the service's own; n: of the datacenter `failover[n - 1]`
    origin: str  # in words


class Listing:
    """What sources answered last."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], tuple[Instance, ...]] = {}

    def apply(self, answer: Answer) -> bool:
        """True if it is news."""
        key = (answer.source, answer.service)
        if self._answers.get(key) == answer.instances:
            return False
        self._answers[key] = answer.instances
        return True

    def forget(self, source: str) -> tuple[str, ...]:
        """A source is no more; returns what it called the services that it had answers for."""
        services = tuple(service for name, service in self._answers if name == source)
        for service in services:
            del self._answers[source, service]
        return services

    def listed(self, spec: ServiceSpec) -> dict[str, Listed]:
        """The instances of a service by address: the file's first, in its order, then tier by tier."""
        listed: dict[str, Listed] = {}
        for source in WRITTEN if spec.targets else ():
            for each in self._answers.get((source, spec.name), ()):
                listed.setdefault(each.address, Listed(each, 0, str(spec.origin.kind)))
        for tier, datacenter in enumerate(tiers_of(spec)):
            source = source_name(datacenter)
            answered = self._answers.get((source, spec.consul), ())
            for each in sorted(answered, key=lambda instance: instance.address):
                known = listed.get(each.address)
                if known is None:
                    listed[each.address] = Listed(each, tier, _origin(each))
                elif known.instance.id == "" and tier == 0:
                    merged = replace(each, weight=known.instance.weight, provisional=False)
                    listed[each.address] = Listed(merged, 0, f"{known.origin}, {_origin(each)}")
        return listed

    def unanswered(self, spec: ServiceSpec, sources: Mapping[str, SourceState]) -> frozenset[int]:
        """The tiers of which nothing is known yet, and not because their source fails."""
        names = enumerate(map(source_name, tiers_of(spec)))
        return frozenset(
            tier
            for tier, source in names
            if (source, spec.consul) not in self._answers and not _fails(sources.get(source))
        )


def tiers_of(spec: ServiceSpec) -> tuple[str, ...]:
    """The datacenters of its tiers; none if it is not discovered in Consul."""
    return (spec.datacenter, *spec.failover) if spec.consul else ()


def users(answer: Answer, services: Iterable[ServiceSpec]) -> list[str]:
    """The services that take instances from an answer."""
    if answer.source in WRITTEN:
        return [answer.service]
    return [
        spec.name
        for spec in services
        if spec.consul == answer.service and answer.source in map(source_name, tiers_of(spec))
    ]


def _origin(instance: Instance) -> str:
    return f"consul {instance.datacenter}" if instance.datacenter else "consul"


def _fails(state: SourceState | None) -> bool:
    return state is not None and state.stale
