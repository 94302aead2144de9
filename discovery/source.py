"""The protocol every source of instances speaks, and the messages it emits.

A source is one long-lived async function. It emits an `Answer` whenever what it knows of one
service changes, and a `SourceState` whenever it is first fresh, turns stale, or is fresh again.
No answer is not an empty answer: a source that cannot reach its origin emits a stale
`SourceState` and no `Answer`, so that everything known stays in use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from discovery.model import Instance, Problem, RouteSpec


@dataclass(frozen=True, slots=True)
class Answer:
    """All instances of one service, as one source knows them now (absent from it = gone)."""

    source: str  # "static", "dns", "consul"
    service: str  # the source's own name for it: ServiceSpec.consul for Consul, else ServiceSpec.name
    instances: tuple[Instance, ...]


@dataclass(frozen=True, slots=True)
class TaggedService:
    """What the tags of one Consul service ask for; emitted whole on every change, empty when they go."""

    source: str
    service: str  # Consul's name
    routes: tuple[RouteSpec, ...]  # their `service` is Consul's name
    options: tuple[tuple[str, str], ...]  # ("balance", "weighted"), ("health.path", "/ping"): keys of [[services]]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class SourceState:
    """How far a source can be trusted now. Times are Unix seconds."""

    source: str
    stale: bool
    stale_since: float | None
    last_success: float | None
    error: str = ""
    is_restored: bool = False  # it has not answered since the gateway started: what is known is from before


@dataclass(frozen=True, slots=True)
class KeyAnswer:
    """The routes and services kept in Consul's KV, as they are written now; whole on every change."""

    source: str
    prefix: str  # ends in "/"
    entries: tuple[tuple[str, bytes], ...]  # key (with the prefix), value; ordered by key


@dataclass(frozen=True, slots=True)
class SourceProblems:
    """What a person must mend for the source to see everything (permissions); whole on every change."""

    source: str
    problems: tuple[Problem, ...]


Event = Answer | TaggedService | KeyAnswer | SourceProblems | SourceState
Emit = Callable[[Event], None]


class Source(Protocol):
    """Somewhere instances are learnt from."""

    name: str

    async def run(self, emit: Emit) -> None:
        """Watch for ever, emitting events; ends only by cancellation. Never raises for its origin's faults."""
        ...
