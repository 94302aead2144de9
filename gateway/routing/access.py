"""Which clients a route takes, by address. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address, ip_network


class AccessRules:
    """A list of those allowed, or of those denied (Fabio's rule: allow decides alone where it is given)."""

    __slots__ = ("_is_allowed", "_networks")

    def __init__(self, allow: Iterable[str], deny: Iterable[str]) -> None:
        """CIDRs. Raises ValueError for what is none."""
        allowed = [ip_network(each) for each in allow]
        self._is_allowed = bool(allowed)  # what it means to be in the networks
        self._networks = allowed or [ip_network(each) for each in deny]

    def admits(self, client: bytes) -> bool:
        """Whether a client with this IP address is let in. Nobody knows who others are: they are not."""
        try:
            address = ip_address(client.decode("latin-1"))
        except ValueError:
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks) is self._is_allowed
