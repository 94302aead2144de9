"""What a reload cannot change. Pure."""

from __future__ import annotations

from discovery.settings import ConsulSettings
from gateway.config.describe import CONSUL_FIXED, GATEWAY_FIXED
from gateway.config.load import Loaded


def needs_restart(old: Loaded, new: Loaded) -> tuple[str, ...]:
    """The keys that differ and cannot change while the gateway runs."""
    # What Consul was told of this gateway stays as it is.
    told = ("name", "listen") if old.consul is not None and old.consul.register else ()
    changed = [
        f"gateway.{key}" for key in (*told, *GATEWAY_FIXED) if getattr(old.gateway, key) != getattr(new.gateway, key)
    ]
    changed += ["dns"] if old.dns != new.dns else []
    return (*changed, *(f"consul.{key}" for key in CONSUL_FIXED if _of_consul(old, key) != _of_consul(new, key)))


def _of_consul(loaded: Loaded, key: str) -> object:
    return getattr(loaded.consul or ConsulSettings(), key)
