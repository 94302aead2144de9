"""Names and what they stand for now, asked for in the background and looked up at once.

Every name wanted is asked for as soon as it is first wanted, and again when its answer has lived its
time. A question that fails keeps the last answer. That a name stands for nothing counts at once when the
question before it was answered; after failures it proves little, as a server that has just started may
know nothing yet, and the last answer is doubtful for a grace before it is given up. An answer that only
changes the order changes nothing.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Awaitable, Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import trio

from discovery.dns_sd.resolver import Found, LookupFailed

RETRY = 2.0  # seconds before a question that failed is asked again
GRACE = 30.0  # seconds for which a name that is gone after failures keeps its last answer

V = TypeVar("V", bound=Hashable)


def is_numeric(host: str) -> bool:
    """Is it an IP address, and not a name?"""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@dataclass(slots=True)
class _Name(Generic[V]):
    """What is known of one name."""

    values: tuple[V, ...] = ()
    error: str = ""  # of the last question
    note: str = ""  # what its answer was, if that was nothing
    is_tried: bool = False
    is_answered: bool = False
    is_broken: bool = False  # a question has failed since the last answer that named something
    given_up_at: float = math.inf  # when the last answer is, if it is doubtful


class Names(Generic[V]):
    """The names that somebody wants, kept asked for."""

    def __init__(self, lookup: Callable[[str], Awaitable[Found[V]]], on_change: Callable[[], None]) -> None:
        """`lookup` may raise LookupFailed; `on_change` is called after each question."""
        self._lookup = lookup
        self._on_change = on_change
        self._names: dict[str, _Name[V]] = {}
        self._scopes: dict[str, trio.CancelScope] = {}
        self._nursery: trio.Nursery | None = None

    def want(self, names: Iterable[str]) -> None:
        """Sets the names to ask for; what is known of the others is forgotten."""
        wanted = dict.fromkeys(names)
        for name in self._names.keys() - wanted.keys():
            del self._names[name]
            if name in self._scopes:
                self._scopes.pop(name).cancel()
        for name in wanted:
            if name not in self._names:
                self._names[name] = _Name()
                self._start(name)

    def values(self, name: str) -> tuple[V, ...]:
        """What the name stands for, as far as is known."""
        known = self._names.get(name)
        return known.values if known else ()

    def is_pending(self, name: str) -> bool:
        """Has the name not even been asked for yet?"""
        known = self._names.get(name)
        return known is not None and not known.is_tried

    def is_answered(self, name: str) -> bool:
        """Has a question been answered, be it with nothing?"""
        known = self._names.get(name)
        return known is not None and known.is_answered

    @property
    def is_used(self) -> bool:
        """Is any name wanted?"""
        return bool(self._names)

    @property
    def is_any_pending(self) -> bool:
        """Has any name not even been asked for yet?"""
        return any(not known.is_tried for known in self._names.values())

    def is_doubtful(self, name: str) -> bool:
        """Was the name gone when last asked for, after failures?"""
        known = self._names.get(name)
        return known is not None and known.given_up_at < math.inf

    def error(self) -> str:
        """Which questions fail, in words; empty if none does."""
        return "; ".join(f"{name}: {known.error}" for name, known in self._names.items() if known.error)

    def note(self) -> str:
        """Which names stand for nothing, in words; empty if none does."""
        return "; ".join(f"{name}: {known.note}" for name, known in self._names.items() if known.note)

    async def run(self) -> None:
        """Asks until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                for name in self._names:
                    self._start(name)
                await trio.sleep(math.inf)
            finally:
                self._nursery = None
                self._scopes.clear()

    def _start(self, name: str) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(self._keep_asking, name)

    async def _keep_asking(self, name: str) -> None:
        known = self._names.get(name)
        if known is None or name in self._scopes:  # no longer wanted, or wanted twice before this task ran
            return
        with trio.CancelScope() as scope:
            self._scopes[name] = scope
            while True:
                delay = await self._ask(name, known)
                self._on_change()
                await trio.sleep(delay)

    async def _ask(self, name: str, known: _Name[V]) -> float:
        """Asks once; returns the seconds until the next time."""
        try:
            found = await self._lookup(name)
        except LookupFailed as error:
            known.error, known.is_tried, known.is_broken = str(error), True, True
            return RETRY
        now = trio.current_time()
        known.error, known.note = "", "" if found.values else "no such name"
        known.is_tried = known.is_answered = True
        if found.values:
            known.is_broken, known.given_up_at = False, math.inf
            if set(found.values) != set(known.values):
                known.values = found.values
        elif known.values and known.is_broken and now < known.given_up_at:
            known.given_up_at = min(known.given_up_at, now + GRACE)
            return min(found.ttl, known.given_up_at - now)
        else:
            known.values, known.is_broken, known.given_up_at = (), False, math.inf
        return found.ttl
