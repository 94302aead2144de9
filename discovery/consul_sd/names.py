"""What the sources of Consul are called: there is one for each datacenter that is asked."""

from __future__ import annotations

from typing import Final

CONSUL: Final = "consul"


def source_name(datacenter: str) -> str:
    """The source of a datacenter; "" is the one that the gateway asks anyway."""
    return f"{CONSUL} {datacenter}" if datacenter else CONSUL
