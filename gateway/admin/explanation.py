"""What `POST /api/explain` is asked and answers. The TypedDicts are stable as those of `status` are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to be explained."""

    method: str
    url: str  # absolute, or a path
    headers: tuple[tuple[str, str], ...] = ()
    client: str = ""  # IP address of the peer; "": this machine


class NotExplained(Exception):
    """It is no request, or none that the gateway would take for one. The message is a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason  # slug


class InstanceExplained(TypedDict):
    """One instance, as the route's balance sees it."""

    address: str
    name: str
    candidate: bool  # it may get this request
    share: float | None  # of the route's requests; None: it depends on load
    weight: float
    in_flight: int
    reason: str
    detail: str
    since: str
    until: str | None


class BalanceExplained(TypedDict):
    """How one of the candidates would be chosen."""

    policy: str
    hash_on: str  # "" unless the policy is hash
    next: str  # who would get this very request, if that can be told
    rule: str  # in words


class Limits(TypedDict):
    """Seconds and counts in force for the request. 0: no limit of its own."""

    timeout: float
    per_try_timeout: float
    connect_timeout: float
    stream_idle_timeout: float
    retry_count: int
    retries: str  # what is repeated, in words
    max_in_flight: int


class Changes(TypedDict):
    """What the instance gets other than the client sent. Values of secret fields are hidden."""

    target: str  # as forwarded
    target_changed: bool
    added: list[list[str]]  # [name, value]
    removed: list[str]
    access: str  # who is let in, in words; "": everybody


class RouteExplained(TypedDict):
    """A route that takes the request, and what it makes of it."""

    path: str
    host: str
    methods: list[str]
    service: str
    origin: str
    options: str
    share: float  # of the requests of its pattern
    outcome: str  # "forwarded", "redirected" or "refused"
    status: int | None  # of the gateway's own answer; None: the instance's
    reason: str
    detail: str
    location: str
    changes: Changes
    limits: Limits
    balance: BalanceExplained
    instances: list[InstanceExplained]


class ConsideredRoute(TypedDict):
    """A route that was looked at, or one that was near."""

    path: str
    host: str
    methods: list[str]
    service: str
    origin: str
    chosen: bool
    reason: str


class Explained(TypedDict):
    """The body of /api/explain."""

    generation: int
    method: str
    host: str
    host_assumed: bool  # nobody said it
    client: str
    client_assumed: bool
    path: str  # as it was matched
    outcome: str  # "forwarded", "redirected", "refused", or "answered": by the gateway's own paths
    status: int | None
    reason: str
    detail: str
    allow: list[str]
    routes: list[RouteExplained]  # several: they share the requests; none: 404, 405, or a path of the gateway's own
    considered: list[ConsideredRoute]  # in order of precedence
    near: list[ConsideredRoute]  # that the request just misses
