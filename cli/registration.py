"""`gw register` and `gw deregister`: one service at the Consul agent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import trio

from discovery.consul_sd.client import ConsulClient
from discovery.consul_sd.errors import ConsulError
from discovery.consul_sd.register import Check, HttpCheck, TcpCheck, TtlCheck, definition, deregister, register
from discovery.settings import ConsulSettings

T = TypeVar("T")


class RegistrationError(Exception):
    """The service could not be registered or removed; the text is a sentence for the person who asked."""


def register_service(
    name: str,
    address: str,
    port: int,
    *,
    tags: Sequence[str] = (),
    weight: int = 1,
    check_http: str | None = None,
    check_tcp: bool = False,
    check_ttl: float | None = None,
    consul: ConsulSettings,
) -> str:
    """Registers a service and returns its id. At most one check: a path, a TCP connection, or a TTL in seconds.

    Raises RegistrationError.
    """
    checks: list[Check] = []
    if check_http is not None:
        checks.append(HttpCheck(check_http))
    if check_tcp:
        checks.append(TcpCheck())
    if check_ttl is not None:
        checks.append(TtlCheck(check_ttl))
    if len(checks) > 1:
        raise RegistrationError("choose one check: --check-http, --check-tcp or --check-ttl")
    try:
        service = definition(name, address, port, tags=tags, weight=weight, check=checks[0] if checks else None)
    except ValueError as error:
        raise RegistrationError(str(error)) from error
    return _with_client(consul, lambda client: register(client, service))


def deregister_service(service_id: str, *, consul: ConsulSettings) -> None:
    """Removes a service by the id that `register_service` returned. Raises RegistrationError."""
    _with_client(consul, lambda client: deregister(client, service_id))


def _with_client(settings: ConsulSettings, call: Callable[[ConsulClient], Awaitable[T]]) -> T:
    async def run() -> T:
        async with ConsulClient(settings) as client:
            return await call(client)

    try:
        return trio.run(run)
    except ConsulError as error:
        raise RegistrationError(str(error)) from error
