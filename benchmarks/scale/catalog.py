"""Many services in Consul's catalog: made by transactions, changed one instance at a time.

The instances belong to nodes that have no agent, as an external registrator would make them, since five thousand on one
agent would measure that agent. Each has a passing check, and its service's tags make a route.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.rig.consul import Consul

PER_TRANSACTION = 60  # operations; Consul takes 64
PER_NODE = 100  # instances


@dataclass(frozen=True, slots=True)
class Place:
    """One instance."""

    service: str
    number: int  # over all instances
    address: str  # host:port
    node: str  # its name

    @property
    def id(self) -> str:
        """Of the service's instance, in Consul."""
        return f"{self.service}-{self.number}"


def places(services: int, each: int, addresses: Sequence[str]) -> list[Place]:
    """The instances of so many services, over addresses that services share: within one service none is used twice.

    Raises ValueError when there are fewer addresses than instances of a service."""
    if len(addresses) < each:
        raise ValueError(f"{each} instances of a service need as many addresses, not {len(addresses)}")
    return [
        Place(f"svc-{number // each:04d}", number, addresses[number % len(addresses)], f"node-{number // PER_NODE}")
        for number in range(services * each)
    ]


def service_body(place: Place, options: Sequence[str]) -> dict[str, object]:
    """The service as Consul's catalog takes it; `options` are tags beside the route's."""
    host, _, port = place.address.rpartition(":")
    tags = [f"gw.path=/{place.service}/*", *options]
    return {"ID": place.id, "Service": place.service, "Address": host, "Port": int(port), "Tags": tags}


def check_body(place: Place) -> dict[str, object]:
    """A check that passes."""
    return {
        "Node": place.node,
        "CheckID": f"check-{place.id}",
        "Name": "application",
        "Status": "passing",
        "ServiceID": place.id,
        "ServiceName": place.service,
    }


def transactions(all_places: Sequence[Place], options: Sequence[str]) -> Iterator[list[dict[str, object]]]:
    """Everything, in the sizes that Consul takes: nodes first, then services with their checks."""
    nodes = dict.fromkeys(place.node for place in all_places)
    operations: list[dict[str, object]] = [
        {"Node": {"Verb": "set", "Node": {"Node": node, "Address": "127.0.0.1"}}} for node in nodes
    ]
    for place in all_places:
        service = {"Verb": "set", "Node": place.node, "Service": service_body(place, options)}
        operations += [{"Service": service}, {"Check": {"Verb": "set", "Check": check_body(place)}}]
    for at in range(0, len(operations), PER_TRANSACTION):
        yield operations[at : at + PER_TRANSACTION]


def fill(consul: Consul, all_places: Sequence[Place], options: Sequence[str]) -> None:
    """Put everything into the catalog. Raises ConsulRefused."""
    for operations in transactions(all_places, options):
        consul.put("/v1/txn", operations)


def add(consul: Consul, place: Place, options: Sequence[str]) -> None:
    """One more instance; its node exists."""
    body = {"Node": place.node, "Address": "127.0.0.1", "SkipNodeUpdate": True}
    consul.put("/v1/catalog/register", {**body, "Service": service_body(place, options), "Checks": [check_body(place)]})


def remove(consul: Consul, place: Place) -> None:
    """One instance less."""
    consul.put("/v1/catalog/deregister", {"Node": place.node, "ServiceID": place.id})
