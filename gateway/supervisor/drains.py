"""What operators drain: kept by service and address, whatever becomes of the instance there. Pure."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass

from gateway.admin.facts import DrainFacts
from gateway.supervisor.cellbook import CellBook
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

    @property
    def all(self) -> Mapping[Target, Drain]:
        return self._drains

    def replace(self, drains: Mapping[Target, Drain]) -> None:
        """These, and no others."""
        self._drains = dict(drains)

    def of(self, service: str) -> Iterator[tuple[Target, Drain]]:
        """The drains of one service, in order of time."""
        return ((target, drain) for target, drain in self._drains.items() if target.service == service)

    def facts(
        self,
        service: str,
        cells: CellBook[Target],
        in_flight: Callable[[int], int],
        listed: Container[str],
    ) -> tuple[DrainFacts, ...]:
        """The drains of one service as people see them; `listed` are the addresses that discovery knows."""
        return tuple(
            DrainFacts(
                address=target.address,
                since=drain.since,
                by=drain.by,
                is_listed=target.address in listed,
                in_flight=0 if (cell := cells.cell(target)) is None else in_flight(cell),
            )
            for target, drain in self.of(service)
        )
