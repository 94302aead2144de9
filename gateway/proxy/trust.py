"""Whose word is believed: the addresses of trusted proxies."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from gateway.proxy.context import Trust


def trust(cidrs: tuple[str, ...]) -> Trust:
    """Whether an address belongs to a trusted proxy."""
    networks = [ipaddress.ip_network(cidr, strict=False) for cidr in cidrs]
    if not networks:
        return lambda peer: False

    @lru_cache(maxsize=4096)
    def is_trusted(peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in networks)

    return is_trusted
