"""From settings to the probe of one address."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial

from discovery.model import join_address
from discovery.settings import HealthSettings, ProbeType
from healthcheck.conversation import Conversation, Impossible, Probe
from healthcheck.probe_http import HttpQuestion
from healthcheck.probe_tcp import TcpConversation
from healthcheck.tls import TlsConversation, tls_context


def build_probe(address: str, settings: HealthSettings) -> Probe | None:
    """The probe that the settings ask for; None for type "none"."""
    if settings.type is ProbeType.NONE:
        return None
    try:
        host, port = _split_address(address)
    except ValueError:
        return Probe(socket.AF_INET, ("", 0), partial(_refuse, f"{address!r} is not an address"))
    port = settings.port or port
    converse = _converse(join_address(host, port), settings)
    if settings.tls:
        converse = partial(_secure, settings, _name(settings.host) or host, converse)
    return Probe(socket.AF_INET6 if ":" in host else socket.AF_INET, (host, port), converse)


def _converse(authority: str, settings: HealthSettings) -> Callable[[], Conversation]:
    if settings.type is ProbeType.HTTP:
        return HttpQuestion(authority, settings)
    if settings.type is ProbeType.TCP:
        return partial(TcpConversation, settings)
    from healthcheck.probe_grpc import GrpcQuestion  # HTTP/2 is loaded by those who use it

    return GrpcQuestion(authority, settings)


def _secure(settings: HealthSettings, name: str, converse: Callable[[], Conversation]) -> Conversation:
    try:
        context = tls_context(settings)
    except OSError as error:  # ssl.SSLError is one
        raise Impossible(f"tls_ca_file {settings.tls_ca_file}: {error.strerror or error}") from error
    return TlsConversation(context, name, converse())


def _name(host: str) -> str:
    """The host of HOST, HOST:PORT or [V6]:PORT."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _refuse(why: str) -> Conversation:
    raise Impossible(why)


def _split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`, the host numeric. Raises ValueError."""
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    except OSError as error:
        raise ValueError from error
    if not 0 < int(port) <= 65535:
        raise ValueError
    return host, int(port)
