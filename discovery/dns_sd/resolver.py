"""Questions to the hosts file and to DNS: addresses of a name, SRV records of a service.

The hosts file comes first, as nsswitch usually says ("files dns"); it and resolv.conf are read again when
they have changed. getaddrinfo is not used: it hides how long an answer lives, and whether there was one.
Three outcomes are kept apart: something, nothing (an authoritative answer), and no answer (LookupFailed).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
import trio

from discovery.settings import DnsSettings

HOSTS: Final = Path("/etc/hosts")
RESOLV_CONF: Final = Path("/etc/resolv.conf")
HOSTS_TTL: Final = 5.0  # seconds
NOTHING_TTL: Final = 5.0  # seconds; an answer of nothing may say much more, and would keep a new name out so long
LIFETIME: Final = 5.0  # seconds for a question, over all servers and tries
_LOOPBACK: Final = ("127.0.0.1", "::1")

V = TypeVar("V")
T = TypeVar("T")


class LookupFailed(Exception):
    """No usable answer; the text is fit for status and log."""


@dataclass(frozen=True, slots=True)
class Found(Generic[V]):
    """An answer. Without values it says that there is nothing of that name."""

    values: tuple[V, ...]
    ttl: float  # seconds that it may be used for


@dataclass(frozen=True, slots=True)
class SrvRecord:
    """Where a service is (RFC 2782)."""

    target: str
    port: int
    weight: int


class _Reread(Generic[T]):
    """What a file says, read again when the file is another."""

    def __init__(self, path: Path, read: Callable[[Path], T], otherwise: T) -> None:
        self._path = path
        self._read = read
        self._otherwise = otherwise
        self._mark: tuple[int, ...] = ()
        self._value = otherwise

    def get(self) -> T:
        """Never raises: a file that cannot be read says nothing."""
        try:
            stat = self._path.stat()
            mark = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if mark != self._mark:
                self._value = self._read(self._path)
                self._mark = mark
        except OSError:
            self._value, self._mark = self._otherwise, ()
        return self._value


class Resolver:
    """Asks the servers of resolv.conf, or the one configured."""

    def __init__(self, settings: DnsSettings, *, hosts: Path = HOSTS, resolv_conf: Path = RESOLV_CONF) -> None:
        self._settings = settings
        self._hosts: _Reread[Mapping[str, tuple[str, ...]]] = _Reread(hosts, read_hosts, {})
        self._system = _Reread(resolv_conf, _system_resolver, None)
        self._own = _own_resolver(settings) if settings.server else None

    async def addresses(self, name: str) -> Found[str]:
        """The IPv4 and IPv6 addresses of a host name, in that order. Raises LookupFailed."""
        host = name.lower().rstrip(".")
        listed = self._hosts.get().get(host)
        if listed is None and (host == "localhost" or host.endswith(".localhost")):  # RFC 6761 section 6.3
            listed = _LOOPBACK
        if listed is not None:
            return Found(listed, HOSTS_TTL)
        outcomes: dict[str, dns.resolver.Answer | LookupFailed | None] = {}

        async def ask(kind: str) -> None:
            try:
                outcomes[kind] = await self._ask(host, kind)
            except LookupFailed as error:
                outcomes[kind] = error

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, "A")
            nursery.start_soon(ask, "AAAA")
        answers = [outcomes[kind] for kind in ("A", "AAAA")]
        records = [answer for answer in answers if isinstance(answer, dns.resolver.Answer) and answer.rrset]
        if not records:
            for each in answers:
                if isinstance(each, LookupFailed):
                    raise each
        values = tuple(dict.fromkeys(record.address for answer in records for record in answer))
        return Found(values, self._ttl(*records))

    async def services(self, name: str) -> Found[SrvRecord]:
        """The SRV records of a service, those of the best priority. Raises LookupFailed."""
        answer = await self._ask(name, "SRV")
        if answer is None or not answer.rrset:
            return Found((), self._ttl())
        best = min(record.priority for record in answer)
        values = tuple(
            SrvRecord(record.target.to_text(omit_final_dot=True), record.port, max(1, record.weight))
            for record in answer
            if record.priority == best and record.target != dns.name.root  # the root: decidedly not available
        )
        return Found(tuple(dict.fromkeys(values)), self._ttl(answer))

    def _ttl(self, *answers: dns.resolver.Answer) -> float:
        ttl = min((answer.chaining_result.minimum_ttl for answer in answers), default=NOTHING_TTL)
        return min(self._settings.max_ttl, max(self._settings.min_ttl, float(ttl)))

    async def _ask(self, name: str, kind: str) -> dns.resolver.Answer | None:
        """The answer; None if there is no such name. Raises LookupFailed."""
        resolver = self._own or self._system.get()
        if resolver is None:
            raise LookupFailed(f"cannot be resolved: there is no usable {RESOLV_CONF}; set dns.server")
        try:
            return await resolver.resolve(name, kind, search=True, raise_on_no_answer=False, lifetime=LIFETIME)
        except dns.resolver.NXDOMAIN:
            return None
        except dns.resolver.LifetimeTimeout:
            raise LookupFailed(
                f"cannot be resolved: no answer from {_servers(resolver)} within {LIFETIME:g} s"
            ) from None
        except dns.resolver.NoNameservers as error:
            last = error.kwargs["errors"][-1][3]  # server, over TCP, port, why, response
            raise LookupFailed(f"cannot be resolved: {_servers(resolver)} answered {last}") from error
        except (dns.exception.DNSException, OSError) as error:
            raise LookupFailed(f"cannot be resolved: {error}") from error


def read_hosts(path: Path) -> Mapping[str, tuple[str, ...]]:
    """The names of a hosts file with their addresses (hosts(5)). Raises OSError."""
    found: dict[str, list[str]] = {}
    for line in path.read_text(errors="replace").splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        try:
            normal = str(ipaddress.ip_address(address))
        except ValueError:
            continue
        if "%" not in normal:  # an address with a scope has no meaning for others
            for name in names:
                found.setdefault(name.lower().rstrip("."), []).append(normal)
    return {name: tuple(dict.fromkeys(addresses)) for name, addresses in found.items()}


def _system_resolver(path: Path) -> dns.asyncresolver.Resolver | None:
    path.read_bytes()  # an OSError is the caller's to see
    try:
        return dns.asyncresolver.Resolver(filename=str(path))
    except dns.resolver.NoResolverConfiguration:
        return None


def _own_resolver(settings: DnsSettings) -> dns.asyncresolver.Resolver:
    host, _, port = settings.server.rpartition(":")
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = [host.strip("[]")]
    resolver.port = int(port)
    return resolver


def _servers(resolver: dns.asyncresolver.Resolver) -> str:
    return ", ".join(str(server) for server in resolver.nameservers)
