"""What operators drain: kept by service and address, whatever becomes of the instance there. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from healthcheck.model import Target


@dataclass(frozen=True, slots=True)
class Drain:
    """Somebody's wish that an address takes no traffic."""

    since: float  # Unix seconds
    by: str  # who asked, as they call themselves


class Drains:
    """All drains in force."""

    def __init__(self) -> None:
        self._drains: dict[Target, Drain] = {}

    def get(self, target: Target) -> Drain | None:
        return self._drains.get(target)

    def begin(self, target: Target, by: str, at: float) -> Drain:
        """Drain an address; one that is drained already keeps its time and its operator."""
        return self._drains.setdefault(target, Drain(at, by))

    def end(self, target: Target) -> Drain | None:
        """Drain it no longer; the drain that ends, None if there was none."""
        return self._drains.pop(target, None)

    def of(self, service: str) -> Iterator[tuple[Target, Drain]]:
        """The drains of one service, in order of time."""
        return ((target, drain) for target, drain in self._drains.items() if target.service == service)
