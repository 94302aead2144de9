"""Host names and the addresses they stand for now, resolved in the background and looked up at once.

Every name wanted is resolved as soon as it is first wanted and then again and again. A resolution that
fails keeps the last addresses; one that only changes their order changes nothing.
"""

from __future__ import annotations

import ipaddress
import math
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import trio

RESOLVE_INTERVAL = 10.0  # seconds


def is_numeric(host: str) -> bool:
    """Is it an IP address, and not a name?"""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def resolve(name: str) -> tuple[str, ...]:
    """All addresses of a name, in the order of getaddrinfo, each once. Raises OSError or UnicodeError."""
    found = await trio.socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


@dataclass(slots=True)
class _Name:
    """What is known of one name."""

    addresses: tuple[str, ...] = ()
    error: str = ""
    is_tried: bool = False


class Names:
    """The names that somebody wants, kept resolved."""

    def __init__(self, on_change: Callable[[], None], *, interval: float = RESOLVE_INTERVAL) -> None:
        """`on_change` is called after each resolution; `interval` in seconds."""
        self._on_change = on_change
        self._interval = interval
        self._names: dict[str, _Name] = {}
        self._scopes: dict[str, trio.CancelScope] = {}
        self._nursery: trio.Nursery | None = None

    def want(self, names: Iterable[str]) -> None:
        """Sets the names to keep resolved; what is known of the others is forgotten."""
        wanted = dict.fromkeys(names)
        for name in self._names.keys() - wanted.keys():
            del self._names[name]
            if name in self._scopes:
                self._scopes.pop(name).cancel()
        for name in wanted:
            if name not in self._names:
                self._names[name] = _Name()
                self._start(name)

    def addresses(self, name: str) -> tuple[str, ...]:
        """What the name stands for, as far as is known."""
        known = self._names.get(name)
        return known.addresses if known else ()

    def is_pending(self, name: str) -> bool:
        """Has the name not even been tried yet?"""
        known = self._names.get(name)
        return known is not None and not known.is_tried

    def error(self) -> str:
        """What keeps names from being resolved, in words; empty if nothing does."""
        return "; ".join(f"{name}: {known.error}" for name, known in self._names.items() if known.error)

    def _start(self, name: str) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(self._keep_resolved, name)

    async def run(self) -> None:
        """Resolves until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                for name in self._names:
                    self._start(name)
                await trio.sleep(math.inf)
            finally:
                self._nursery = None
                self._scopes.clear()

    async def _keep_resolved(self, name: str) -> None:
        known = self._names.get(name)
        if known is None or name in self._scopes:  # no longer wanted, or wanted twice before this task ran
            return
        with trio.CancelScope() as scope:
            self._scopes[name] = scope
            while True:
                await self._resolve(name, known)
                self._on_change()
                await trio.sleep(self._interval)

    async def _resolve(self, name: str, known: _Name) -> None:
        try:
            addresses = await resolve(name)
        except (OSError, UnicodeError) as error:  # UnicodeError: no valid name at all
            known.error = f"cannot be resolved: {error.strerror if isinstance(error, OSError) else error}"
        else:
            known.error = ""
            if set(addresses) != set(known.addresses):
                known.addresses = addresses
        known.is_tried = True
