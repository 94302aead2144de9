"""Registering a service with the Consul agent, and taking it out again."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from discovery.consul_sd.client import ConsulClient
from discovery.consul_sd.errors import Rejected
from discovery.model import join_address

CHECK_INTERVAL = "5s"
CHECK_TIMEOUT = "2s"


@dataclass(frozen=True, slots=True)
class HttpCheck:
    """The agent asks for a path of the service every 5 s."""

    path: str


@dataclass(frozen=True, slots=True)
class TcpCheck:
    """The agent connects to the service every 5 s."""


@dataclass(frozen=True, slots=True)
class TtlCheck:
    """The service reports to the agent itself, at least every `seconds`."""

    seconds: float


Check = HttpCheck | TcpCheck | TtlCheck


def service_id(name: str, address: str, port: int) -> str:
    """The id under which the gateway registers a service."""
    return f"{name}-{address}-{port}"


def definition(
    name: str, address: str, port: int, *, tags: Sequence[str] = (), weight: int = 1, check: Check | None = None
) -> dict[str, object]:
    """A service in Consul's own spelling. A TTL check starts as passing. Raises ValueError, with a sentence."""
    if not name or not name.isprintable() or "/" in name:
        raise ValueError(f"the name {name!r} must be printable, without slash")
    if not address or any(character.isspace() or character in "/[]" for character in address):
        raise ValueError(f"the address {address!r} must be an IP address or a host name, without port or brackets")
    if ":" in address:
        try:
            ipaddress.IPv6Address(address)
        except ValueError:
            raise ValueError(f"the address {address!r} must be without port: give that on its own") from None
    if not 1 <= port <= 65535:
        raise ValueError(f"the port {port} must be from 1 to 65535")
    if not 1 <= weight <= 65535:
        raise ValueError(f"the weight {weight} must be from 1 to 65535")
    service: dict[str, object] = {
        "ID": service_id(name, address, port),
        "Name": name,
        "Address": address,
        "Port": port,
        "Tags": list(tags),
        "Weights": {"Passing": weight, "Warning": 1},
    }
    if check is not None:
        service["Check"] = _check(check, join_address(address, port))
    return service


def _check(check: Check, address: str) -> Mapping[str, object]:
    match check:
        case HttpCheck(path):
            if not path.startswith("/"):
                raise ValueError(f'the path {path!r} of the check must begin with "/"')
            url = f"http://{address}{path}"
            return {"Name": f"HTTP {path}", "HTTP": url, "Interval": CHECK_INTERVAL, "Timeout": CHECK_TIMEOUT}
        case TcpCheck():
            return {"Name": "TCP", "TCP": address, "Interval": CHECK_INTERVAL, "Timeout": CHECK_TIMEOUT}
        case TtlCheck(seconds):
            if not seconds > 0:
                raise ValueError(f"the TTL {seconds:g} must be more than 0 seconds")
            return {"Name": "TTL", "TTL": f"{seconds * 1000:.0f}ms", "Status": "passing"}


async def register(client: ConsulClient, service: Mapping[str, object]) -> str:
    """Registers a definition, replacing one of the same id with its checks; returns the id. Raises ConsulError."""
    await client.register(service)
    return str(service["ID"])


async def deregister(client: ConsulClient, service: str) -> None:
    """Removes a service by its id. Raises ConsulError; Rejected if this agent has no such service."""
    if service not in await client.agent_services():  # older agents answer 200 whatever the id
        raise Rejected(f"this Consul agent has no service with the id {service!r}")
    await client.deregister(service)
