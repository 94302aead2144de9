"""The gateway's own registration with the Consul agent, kept for as long as it serves.

It is registered again whenever the agent no longer knows it, as an agent that restarted forgets, and
taken out when the gateway stops, before its last requests have finished. The id stays the same over
restarts of the gateway, so that what a killed one has left behind is taken over; an agent removes what
nobody takes over after ten minutes.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from urllib.parse import urlsplit

import structlog
import trio

from discovery.consul_sd.client import ConsulClient
from discovery.consul_sd.errors import ConsulError, Rejected
from discovery.consul_sd.pacing import Backoff
from discovery.consul_sd.register import HttpCheck, TcpCheck, definition, deregister, register
from discovery.consul_sd.tls import base_url
from discovery.settings import ConsulSettings

LOOK_AGAIN = 2.0  # seconds between questions whether the agent still knows it
LEAVE_WITHIN = 2.0  # seconds that taking it out may hold the gateway's end up
DEREGISTER_AFTER = "10m"  # of failing checks: nobody will take it out any more

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Listener:
    """Where the gateway takes requests."""

    host: str  # may be a wildcard: 0.0.0.0, ::
    port: int
    answers_http: bool = True  # false: an agent's HTTP check would be refused (PROXY protocol)


class SelfRegistration:
    """Registers one gateway. Never raises for Consul's faults."""

    def __init__(
        self,
        settings: ConsulSettings,
        name: str,
        listener: Listener,
        is_ready: Callable[[], bool],
        *,
        address: str = "",
    ) -> None:
        """`address` is what others reach the listener at; "": its own, or for a wildcard the one towards Consul."""
        self._settings = settings
        self._name = name
        self._listener = listener
        self._is_ready = is_ready
        self._address = address
        self._scope = trio.CancelScope()
        self._id = ""  # registered under this one; "": not, as far as is known

    def withdraw(self) -> None:
        """The gateway is about to stop: `run` takes it out and returns."""
        self._scope.cancel()

    def release(self) -> None:
        """Another gateway has registered itself under the same id: `run` returns, and takes nothing out."""
        self._id = ""
        self._scope.cancel()

    async def run(self) -> None:
        """Keep it registered until withdrawn or cancelled."""
        async with ConsulClient(self._settings) as client:
            try:
                with self._scope:
                    await self._keep(client)
            finally:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + LEAVE_WITHIN):
                    await self._leave(client)

    async def _keep(self, client: ConsulClient) -> None:
        backoff, said = Backoff(Random()), ""  # noqa: S311 - jitter
        while True:
            try:
                if not self._id or self._id not in await client.agent_services():
                    service = await self._definition()
                    self._id = str(service["ID"])
                    await register(client, service)
                    log.info("registered with Consul", id=self._id)
            except (ConsulError, OSError) as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("not registered with Consul, trying again", error=said)
                await trio.sleep(backoff.delay())
            else:
                said = ""
                backoff.reset()
                await trio.sleep(LOOK_AGAIN)

    async def _leave(self, client: ConsulClient) -> None:
        if not self._id:
            return
        try:
            await deregister(client, self._id)
        except Rejected:
            log.info("nothing to take out of Consul: the agent does not know it", id=self._id)
        except ConsulError as error:
            log.warning("not taken out of Consul; its checks will fail", id=self._id, error=str(error))
        else:
            log.info("taken out of Consul", id=self._id)

    async def _definition(self) -> dict[str, object]:
        """As Consul wants it; the first state of the check is what the agent would find."""
        address = self._address or self._listener.host
        if not self._address and _is_wildcard(address):
            address = await _address_towards(base_url(self._settings.address))
        check = HttpCheck("/ready") if self._listener.answers_http else TcpCheck()
        service = definition(self._name, address, self._listener.port, check=check)
        details = service["Check"]
        assert isinstance(details, dict)
        details["DeregisterCriticalServiceAfter"] = DEREGISTER_AFTER
        details["Status"] = "passing" if self._is_ready() else "critical"
        if not self._address and _is_wildcard(self._listener.host) and ipaddress.ip_address(address).is_loopback:
            service["Address"] = ""  # the agent is on this machine: others reach it at the node's address
        return service


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


async def _address_towards(url: str) -> str:
    """This machine's own address on the way to a URL's host. Raises OSError."""
    parts = urlsplit(url)
    where = await trio.socket.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_DGRAM)
    family, kind, protocol, _, peer = where[0]
    with trio.socket.socket(family, kind, protocol) as sock:
        await sock.connect(peer)  # of a datagram socket: nothing is sent
        return str(sock.getsockname()[0])
