"""The gateway's own registration with Consul, as the configuration wants it."""

from __future__ import annotations

from collections.abc import Callable

from discovery.consul_sd.selfreg import Listener, SelfRegistration
from gateway.config.load import Loaded
from gateway.config.values import split_host_port


def registration_key(loaded: Loaded, listen: str) -> list[str]:
    """What decides under which id a gateway is registered, and where; nothing if it is not."""
    consul = loaded.consul
    if consul is None or not consul.register:
        return []
    name = consul.register_name or loaded.gateway.name
    return [consul.address, consul.datacenter, name, consul.register_address, listen]


def self_registration(loaded: Loaded, listen: str, is_ready: Callable[[], bool]) -> SelfRegistration | None:
    """None if none is wanted; `listen` is the HOST:PORT that the gateway is reached at."""
    consul = loaded.consul
    if consul is None or not consul.register:
        return None
    host, port = split_host_port(listen)
    listener = Listener(host, port or 0, answers_http=not loaded.gateway.proxy_protocol)
    name = consul.register_name or loaded.gateway.name
    return SelfRegistration(consul, name, listener, is_ready, address=consul.register_address)
