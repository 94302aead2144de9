"""The listening sockets: for every listen address one SO_REUSEPORT socket per worker, or several (`sharing`).

The supervisor makes them and keeps them open for its whole life. The kernel spreads new
connections over the sockets, and those queued on the socket of a worker that died wait there for
its successor instead of being reset.

SO_REUSEPORT lets any process of the same user join a port unseen, so a second gateway on one port
would silently take half of the first one's connections. Hence the probe: each address is first
bound without SO_REUSEPORT, which fails if anybody listens there. Ports of a gateway that is being taken over
are exempt: its sockets are used further, with the connections queued on them.

IPv6 addresses are IPv6 only, so that `0.0.0.0:80` and `[::]:80` may stand side by side.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

import structlog

from discovery.model import join_address
from gateway.control import BACKLOG
from gateway.supervisor.sharing import lacking, share_out

MIGRATE_REQ: Final = Path("/proc/sys/net/ipv4/tcp_migrate_req")

log = structlog.get_logger(__name__)


class ListenError(Exception):
    """An address cannot be listened on; the text says which, why and what to do."""


@dataclass(frozen=True, slots=True)
class Listener:
    """One listen address, and the sockets of all workers."""

    address: str  # as bound: a real port where port 0 was asked for
    sockets: tuple[socket.socket, ...]
    asked: str  # as configured
    is_shared: bool = False  # every worker accepts from every socket: no other could be bound beside them


@dataclass(frozen=True, slots=True)
class Adopted:
    """Listening sockets of a gateway that is taken over. Those that are not wanted are the caller's to close."""

    by_address: dict[str, tuple[socket.socket, ...]] = field(default_factory=dict)  # as bound
    bound: dict[str, str] = field(default_factory=dict)  # what was asked for with port 0: as bound

    def shares_port(self, port: int) -> bool:
        """Whether it listens on the port, on some address."""
        return any(address.endswith(f":{port}") for address in self.by_address)


@dataclass(slots=True)
class Listeners:
    """All listen addresses."""

    all: tuple[Listener, ...]
    workers: int  # that the sockets are shared out among

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(listener.address for listener in self.all)

    def for_worker(self, worker: int) -> tuple[int, ...]:
        """The descriptors that a worker inherits, at least one per address."""
        shares = (
            listener.sockets if listener.is_shared else share_out(listener.sockets, self.workers)[worker]
            for listener in self.all
        )
        return tuple(sock.fileno() for share in shares for sock in share)

    @contextmanager
    def copies(self, worker: int | None) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Copies of a worker's descriptors (None: it gets none) and those of them that all workers share, for as long
        as it takes to start it: an order to stop may close the sockets meanwhile. Raises OSError."""
        copied: dict[int, int] = {}
        try:
            for fd in () if worker is None else self.for_worker(worker):
                copied[fd] = os.dup(fd)
            yield tuple(copied.values()), tuple(copied[fd] for fd in self.shared if fd in copied)
        finally:
            for fd in copied.values():
                os.close(fd)

    @property
    def shared(self) -> tuple[int, ...]:
        """Those of them that every worker inherits."""
        return tuple(sock.fileno() for listener in self.all if listener.is_shared for sock in listener.sockets)

    def change(self, addresses: Sequence[str], workers: int) -> None:
        """Listen on these addresses, with a socket for each of so many workers at least. Raises ListenError.

        Nothing has changed then. Sockets of addresses that stay are kept, with the connections queued on them; of
        those that go the workers' copies remain.
        """
        known = Adopted({}, {each.asked: each.address for each in self.all})
        for each in self.all:  # a socket for both families is known by either address
            known.by_address[each.address] = known.by_address[canonical(each.asked)] = each.sockets
        wanted = open_listeners(addresses, workers, known).all
        kept = {sock for listener in wanted for sock in listener.sockets}
        gone = [sock for listener in self.all for sock in listener.sockets if sock not in kept]
        self.all = wanted
        _close(gone)

    def close(self) -> None:
        """Close every socket; connections queued on them are reset."""
        for listener in self.all:
            for sock in listener.sockets:
                sock.close()


def open_listeners(addresses: Sequence[str], workers: int, adopted: Adopted | None = None) -> Listeners:
    """Bind and listen on every address (`host:port`, `[::1]:80`, `:80`; port 0 picks a free one).

    `adopted` sockets are used before others are bound. Raises ListenError; then nothing stays open that was bound here.
    """
    opened: list[Listener] = []
    bound: list[socket.socket] = []
    try:
        for address in addresses:
            opened.append(_open_listener(address, workers, adopted or Adopted(), bound))  # noqa: PERF401 - see below
    except BaseException:
        _close(bound)
        raise
    log.debug("listening", addresses=[each.address for each in opened], tcp_migrate_req=_reads_one(MIGRATE_REQ))
    return Listeners(tuple(opened), workers)


def canonical(address: str) -> str:
    """A listen address as it is bound, but for port 0. Raises ListenError."""
    where = resolve(address)[1]
    return join_address(where[0], where[1])


def _open_listener(address: str, workers: int, adopted: Adopted, bound: list[socket.socket]) -> Listener:
    """Adds to `bound` what it binds."""
    family, where = resolve(address)
    name = (where[1] == 0 and adopted.bound.get(address)) or join_address(where[0], where[1])
    sockets = list(adopted.by_address.get(name, ()))
    wanted, is_served = lacking(len(sockets), workers), bool(sockets)
    if sockets:
        where = sockets[0].getsockname()
        if workers > len(sockets) and not _can_be_joined(sockets, family, where):
            return Listener(join_address(where[0], where[1]), tuple(sockets), address, is_shared=True)
    elif where[1] != 0 and not adopted.shares_port(where[1]):
        _bind(address, family, where, shared=False).close()
    for _ in range(wanted):
        sock = _bind(address, family, where, shared=True)
        bound.append(sock)
        sockets.append(sock)
        where = (where[0], sock.getsockname()[1], *where[2:])
    try:
        # Only once all are bound: a socket that fails must not leave connections queued on the others. And beside
        # sockets that are served only by the worker itself, once it serves: connections would wait for its start.
        for sock in () if is_served else bound[len(bound) - wanted :]:
            sock.listen(BACKLOG)
    except OSError as error:
        raise ListenError(_explain(address, error)) from error
    host, port = sockets[0].getsockname()[:2]
    return Listener(join_address(host, port), tuple(sockets), address)


def _can_be_joined(
    sockets: Sequence[socket.socket],
    family: socket.AddressFamily,
    where: tuple[str, int, int, int] | tuple[str, int],
) -> bool:
    """May others be bound beside them? Not where they are another user's (systemd's, say), nor without SO_REUSEPORT."""
    for sock in sockets:
        if sock.family != family or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT):
            return False
    try:
        _bind("", family, where, shared=True).close()
    except ListenError:
        return False
    return True


def _close(sockets: Sequence[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def resolve(address: str) -> tuple[socket.AddressFamily, tuple[str, int, int, int] | tuple[str, int]]:
    """What to bind for a listen address. Raises ListenError."""
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ListenError(f"cannot listen on {address!r}: it is not host:port; write for example 0.0.0.0:8080")
    try:
        found = socket.getaddrinfo(host or "0.0.0.0", int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)  # noqa: S104
    except socket.gaierror as error:
        raise ListenError(
            f"cannot listen on {address}: {host!r} is not an address of this machine ({error.strerror}); "
            "use an IP address, 0.0.0.0 for all of them"
        ) from error
    family, _, _, _, where = found[0]
    if family == socket.AF_INET6:
        return family, cast("tuple[str, int, int, int]", where)
    return family, (str(where[0]), int(where[1]))


def _bind(
    address: str,
    family: socket.AddressFamily,
    where: tuple[str, int, int, int] | tuple[str, int],
    *,
    shared: bool,
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Inherited by every accepted connection: saves each of them a system call.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(where)
    except OSError as error:
        sock.close()
        raise ListenError(_explain(address, error)) from error
    return sock


def _explain(address: str, error: OSError) -> str:
    advice = {
        errno.EADDRINUSE: "another process listens there (another gateway?); stop it, or choose another port",
        errno.EACCES: "this user may not; use a port from 1024 up, or grant CAP_NET_BIND_SERVICE",
        errno.EPERM: "this user may not; use a port from 1024 up, or grant CAP_NET_BIND_SERVICE",
        errno.EADDRNOTAVAIL: "no interface of this machine has that address; 0.0.0.0 stands for all of them",
        errno.EAFNOSUPPORT: "this machine has no such address family; is IPv6 switched off?",
        errno.EMFILE: "too many open files; raise the limit (ulimit -n)",
    }.get(error.errno or 0, os.strerror(error.errno or 0))
    return f"cannot listen on {address}: {advice}"


def _reads_one(path: Path) -> bool | None:
    """Is a kernel switch on? None where the kernel does not have it."""
    try:
        return path.read_text().strip() == "1"
    except OSError:
        return None
