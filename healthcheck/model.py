"""What is well: the result of a probe, the state it leads to, and the transitions between states."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Target(NamedTuple):
    """The key of everything known about health: a service and one of its addresses (host:port).

    A tuple, since thousands are looked up at a time: its hash costs a fifth of a dataclass'.
    """

    service: str
    address: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one probe."""

    ok: bool
    detail: str  # plain words: "200 in 3 ms", "connection refused", "timed out after 2.0 s"
    duration: float  # seconds


class Health(StrEnum):
    """The health of an instance, by the gateway's own probes."""

    UNKNOWN = "unknown"  # not probed yet: takes no traffic
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    UNCHECKED = "unchecked"  # type = "none": always taken as well


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of health. `at` is Unix time in seconds."""

    target: Target
    previous: Health
    health: Health
    detail: str
    at: float
