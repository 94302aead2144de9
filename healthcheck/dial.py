"""Opening the connection of a probe, and putting what can go wrong with one into plain words.

`trio.open_tcp_stream` costs four times a bare connect (name resolution and racing addresses), and a probe goes to one
known address: so this is a bare socket.
"""

from __future__ import annotations

import errno
import socket

import trio

_WORDS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.EPIPE: "connection reset",
    errno.ECONNABORTED: "connection reset",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network unreachable",
    errno.ETIMEDOUT: "connection timed out",
}

# What this machine lacks, whatever the instance does.
_OWN = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})


class ProbeNotSent(Exception):
    """This machine had no file descriptor, memory or local port for the probe: no verdict on the instance."""


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`. Raises ValueError."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


async def connect(host: str, port: int) -> trio.socket.SocketType:
    """A connected socket with Nagle's delay off. Raises OSError, or ProbeNotSent."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        sock = trio.socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise _own_or(error) from error
    try:
        await sock.connect((host, port))
        # A connect to a free port of the ephemeral range may be given that very port as its own end and then
        # meets itself (RFC 9293, simultaneous open): nobody listens there.
        if sock.getsockname() == sock.getpeername():
            raise ConnectionRefusedError(errno.ECONNREFUSED, "connected to itself")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        sock.close()
        raise _own_or(error) from error
    except BaseException:
        sock.close()
        raise
    return sock


def words(error: OSError) -> str:
    """The error as a person says it."""
    if isinstance(error, socket.gaierror):
        return "host name not found"
    return _WORDS.get(error.errno or 0) or (error.strerror or str(error)).lower()


def _own_or(error: OSError) -> OSError | ProbeNotSent:
    if error.errno in _OWN and not isinstance(error, socket.gaierror):
        return ProbeNotSent(f"not sent: {words(error)} on the gateway's machine")
    return error
