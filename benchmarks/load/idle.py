"""Many connections that do nothing: opened from this one process, each with one request behind it."""

import contextlib
import resource
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.load import wire

_SPARE = 500
"""Descriptors that this process and a peer need for everything else."""
_TIMEOUT = 20.0


@dataclass(frozen=True, slots=True)
class Held:
    """Open client connections to one port."""

    connections: tuple[socket.socket, ...]
    request: bytes

    def problems(self) -> list[str]:
        """Asks on every connection again: whoever closed some of them to make room has not held them."""
        failed = 0
        for connection in self.connections:
            try:
                failed += wire.exchange(connection, self.request) != 200
            except OSError:
                failed += 1
        return [f"{failed} of {len(self.connections)} idle connections did not answer any more"] if failed else []


def limit_problems(count: int) -> list[str]:
    """Whether so many can be opened at all."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count + _SPARE:
        return [f"{soft} open files are allowed, {count + _SPARE} needed: raise the hard limit (ulimit -Hn)"]
    return []


@contextlib.contextmanager
def held(port: int, path: str, count: int) -> Iterator[Held]:
    """Opens them one after another, asks once on each, closes them at the end. Raises OSError when one fails."""
    request = wire.get(port, path)
    with contextlib.ExitStack() as stack:
        connections = []
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT))
            if (status := wire.exchange(connection, request)) != 200:
                raise ConnectionError(f"an idle connection's request was answered {status}")
            connections.append(connection)
        yield Held(tuple(connections), request)


@contextlib.contextmanager
def stalled(port: int, path: str, count: int) -> Iterator[None]:
    """Clients that ask for a body, read its beginning, and no more."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT))
            connection.sendall(wire.get(port, path))
            if wire.read_head(connection) is None:
                raise ConnectionError("closed without an answer")
        yield
