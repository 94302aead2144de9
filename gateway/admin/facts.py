"""What the admin interface is told and may ask: facts to read, operations to call.

The supervisor implements `Facade`; handlers, status and metrics see nothing else of it, so they
are tested with plain values.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from discovery.model import Problem
from discovery.source import SourceState
from gateway.admin.explanation import Asked, Explained
from gateway.admin.series import Series
from gateway.config.describe import Config
from gateway.shm.ledger import Ledger
from gateway.shm.storybook import StoryBook


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """One worker process. Its counters are read from its ledger row, `id`."""

    id: int
    pid: int
    state: str  # "starting", "serving", "draining", "restarting", "orphaned"
    restarts: int
    started_at: float  # Unix seconds


@dataclass(frozen=True, slots=True)
class TransitionFacts:
    """One entry of an instance's history."""

    at: float  # Unix seconds
    before: str  # slug of snapshot.model.Standby, or "absent"
    after: str
    reason: str  # slug of what made it, see gateway.supervisor.history
    who: str  # who decided: "consul", "file", "probe", "outlier", "damping", "operator", "gateway"
    detail: str  # plain words


@dataclass(frozen=True, slots=True)
class DrainFacts:
    """An address that an operator drains, whether an instance is there or not."""

    address: str
    since: float  # Unix seconds
    by: str
    is_listed: bool  # discovery knows an instance there
    in_flight: int  # requests, over all workers


@dataclass(slots=True)  # to freeze them takes longer than all the rest of making thousands
class ProbeFacts:
    """One probe of an instance."""

    at: float  # Unix seconds, when its result came
    ok: bool
    detail: str  # plain words
    seconds: float  # it took


@dataclass(slots=True)  # to freeze them takes longer than all the rest of making thousands
class InstanceFacts:
    """One instance, with everything that decides whether it takes traffic."""

    address: str  # host:port
    name: str  # the host name it was resolved from, if any
    cell: int  # of the ledger
    weight: float
    eligible: bool
    reason: str  # slug of snapshot.model.Standby
    detail: str  # plain words: the last probe's, or Consul's check
    health: str  # healthcheck.model.Health
    since: float  # Unix seconds of the last change of health or reason
    checks_ok: int  # probes so far
    checks_failed: int
    origin: str = ""  # where it is known from, in words
    datacenter: str = ""  # of Consul; "" for one that is not from Consul
    flaps: int = 0  # falls of a well instance, while its history is kept
    until: float | None = None  # Unix seconds: when an ejection or a hold ends by itself
    history: tuple[TransitionFacts, ...] = ()  # oldest first
    last_probe: ProbeFacts | None = None


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """One service."""

    name: str
    origin: str
    balance: str
    consul: str
    instances: tuple[InstanceFacts, ...]
    datacenter: str = ""  # whose instances are in use; "" if none is from Consul
    failover: tuple[str, ...] = ()  # the datacenters used when it has none eligible, in order
    is_failing_open: bool = False
    drains: tuple[DrainFacts, ...] = ()


class InstanceFigures(NamedTuple):
    """What metrics need of an instance: a fifth of the work of `InstanceFacts`, for thousands at every scrape."""

    address: str
    cell: int
    is_well: bool  # the gateway's own checks find it so, or there are none
    eligible: bool
    checks_ok: int
    checks_failed: int
    flaps: int


class ServiceFigures(NamedTuple):
    """The same of a service."""

    name: str
    is_failing_open: bool
    instances: tuple[InstanceFigures, ...]


@dataclass(frozen=True, slots=True)
class RouteFacts:
    """One route in force."""

    cell: int
    path: str
    host: str
    methods: tuple[str, ...]
    service: str
    strip_path: bool
    timeout: float
    retry_count: int
    options: str  # of its tag, where that has any (Fabio's); "" otherwise
    origin: str


@dataclass(frozen=True, slots=True)
class ReloadFacts:
    """How reading the configuration again went so far; what the gateway started with is a success, not counted."""

    succeeded: int
    failed: int
    is_last_good: bool
    last_success: float  # Unix seconds


@dataclass(frozen=True, slots=True)
class TraceFacts:
    """What became of the spans that workers handed on, and what is wrong with exporting now ("": nothing)."""

    exported: int = 0
    failed: int = 0
    dropped: int = 0
    error: str = ""
    pid: int = 0  # of the exporter's process; 0: none runs


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the gateway knows of itself at one moment."""

    name: str
    version: str
    config_file: str  # "" without one
    listen: tuple[str, ...]  # as bound
    started_at: float
    generation: int
    ready: bool
    not_ready: tuple[str, ...]  # reasons, in plain words
    draining: bool
    workers: tuple[WorkerFacts, ...]
    services: tuple[ServiceFacts, ...]
    routes: tuple[RouteFacts, ...]
    discovery: tuple[SourceState, ...]
    problems: tuple[Problem, ...]
    reloads: ReloadFacts
    traces: TraceFacts = TraceFacts()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the newest state has come: what `gw wait` waits for."""

    generation: int
    ready: bool
    not_ready: tuple[str, ...]
    draining: bool
    workers: tuple[WorkerFacts, ...]
    service: ServiceFacts | None  # the one asked for, if there is one
    services: tuple[str, ...]  # the names of all


@dataclass(frozen=True, slots=True)
class Access:
    """Who may operate the gateway, as the configuration says; see `gateway.admin.guard`."""

    write: bool = False  # admin_write
    token: str = field(default="", repr=False)  # admin_token

    @property
    def offers_buttons(self) -> bool:
        """The page can do more than show."""
        return self.write or bool(self.token)


class ReloadError(Exception):
    """The new configuration is not usable; nothing was changed. `problems` are sentences."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class NotKnown(Exception):
    """There is no such service or instance. `known` are those that there are, which `kind` names."""

    def __init__(self, message: str, kind: str, known: tuple[str, ...]) -> None:
        super().__init__(message)
        self.kind = kind  # "service" or "instance"
        self.known = known


@dataclass(frozen=True, slots=True)
class Pulse:
    """What is asked every few seconds by those who watch over the gateway: a part of `Facts` that costs nothing."""

    name: str
    version: str
    not_ready: tuple[str, ...]  # reasons, in plain words; none: it is ready
    draining: bool


def unknown_instance(service: str, address: str, members: Iterable[str]) -> NotKnown:
    """`members` are the addresses of those that the service has."""
    return NotKnown(f"Service {service!r} has no instance {address!r}.", "instance", tuple(members))


class Facade(Protocol):
    """What the admin interface may do."""

    @property
    def ledger(self) -> Ledger: ...

    @property
    def series(self) -> Series:
        """The last minutes, for charts."""
        ...

    @property
    def access(self) -> Access:
        """Who may operate the gateway, as configured now."""
        ...

    @property
    def stories(self) -> StoryBook: ...

    def facts(self) -> Facts:
        """The present, as values."""
        ...

    def overview(self) -> Facts:
        """The same less the services, which can be many."""
        ...

    def figures(self) -> tuple[ServiceFigures, ...]:
        """The services, in numbers."""
        ...

    def progress(self, service: str) -> Progress:
        """The present, as far as it concerns one service ("": none); cheap, to be asked again and again."""
        ...

    def config(self) -> Config:
        """The configuration in force, from file, environment and flags."""
        ...

    def pulse(self) -> Pulse:
        """The present, in brief."""
        ...

    async def reload(self) -> tuple[str, ...]:
        """Read the configuration again and apply it; returns what needs a restart. Raises ReloadError."""
        ...

    def down(self) -> None:
        """Begin to drain and stop, as SIGTERM does."""
        ...

    def drain_instance(self, service: str, address: str, by: str) -> bool:
        """Take an instance out of balancing, for all workers; False if it was drained already. Raises NotKnown."""
        ...

    async def explain(self, asked: Asked) -> Explained:
        """What would become of a request, and why. Raises NotExplained."""
        ...

    def undrain_instance(self, service: str, address: str, by: str) -> bool:
        """Put it back; False if it was not drained. Raises NotKnown."""
        ...
