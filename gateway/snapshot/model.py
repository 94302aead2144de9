"""What the supervisor publishes and a worker uses: one immutable, numbered snapshot.

A snapshot has three kinds of parts that change at different speeds and are encoded, checked and
decoded apart: the worker settings, the routes, and one block per service. Every part carries its
own `version` (a counter that moves only when the part's content does), so that a worker rebuilds
only what changed. Times are seconds unless the name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from discovery.model import PLAIN, Handling, Share, join_address


class Standby(IntEnum):
    """Why an instance takes traffic, or does not: the result of `resolve`. Order is the wire format."""

    ELIGIBLE = 0
    NOT_PROBED = 1  # no probe has succeeded yet
    UNHEALTHY = 2  # the gateway's own probes fail
    CRITICAL = 3  # Consul says critical
    MAINTENANCE = 4  # Consul says maintenance
    DRAINING = 5  # an operator drains it
    EJECTED = 6  # passive outlier detection
    ZERO_WEIGHT = 7  # its weight is 0
    FAIL_OPEN = 8  # not well, used because too few are (fail_open_below)
    PROVISIONAL = 9  # gone from an answer after a break, kept while it passes probes: takes traffic
    RESERVE = 10  # well, in a datacenter that is used while no nearer one has an eligible instance
    HELD = 11  # well again, but it flaps: held back for a while

    @property
    def slug(self) -> str:
        """The word in status, metrics and `gw explain`, e.g. "not_probed"."""
        return _SLUGS[self]


_SLUGS = {standby: standby.name.lower() for standby in Standby}  # an enum's name is slow to ask for


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """One instance as workers see it."""

    cell: int  # its block of counters in every ledger row
    host: str  # IP address
    port: int
    weight: float  # effective: slow start included
    eligible: bool
    standby: Standby
    name: str = ""  # the host name it is registered with, if it is not an address

    @property
    def address(self) -> str:
        return join_address(self.host, self.port)


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """One service as workers see it."""

    name: str
    version: int
    balance: str
    hash_on: str
    connect_timeout: float
    max_in_flight: int
    keepalive_idle: float
    consecutive_failures: int
    eject_time: float
    max_ejected_percent: int
    instances: tuple[InstanceRecord, ...]


@dataclass(frozen=True, slots=True)
class RouteRecord:
    """One route as workers see it."""

    cell: int  # its block of counters in every ledger row
    path: str
    host: str
    methods: tuple[str, ...]
    service: str
    strip_path: bool
    timeout: float
    per_try_timeout: float
    stream_idle_timeout: float
    retry_count: int
    headers: tuple[tuple[str, str], ...]
    handling: Handling = PLAIN
    share: Share | None = None  # those with the same host, path and methods are a split
    is_refused: bool = False  # answers 404
    log_sample: float = 1.0  # share of its requests in the access log; what fails is always there


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What holds for all of a worker's traffic."""

    name: str
    server_header: bool
    trusted_proxies: tuple[str, ...]  # CIDRs
    proxy_protocol: bool  # client connections begin with a PROXY protocol header
    header_bytes: int
    headers: int
    body_bytes: int
    header_timeout: float
    idle_timeout: float
    connections: int
    in_flight: int  # 0: no limit
    access_log: str  # a path, "stdout" or "off"
    access_format: str  # "json", "combined" or "console"
    access_fields: tuple[str, ...]  # of a JSON line; empty: the usual ones
    drain_timeout: float
    ready: bool  # what /ready on the listen address answers (readiness is the supervisor's to judge)
    traces: bool  # write down what sampled requests do
    trace_sample: float  # share of the traces begun here that are sampled
    trace_b3: bool  # take part in traces that come in B3 headers


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a worker needs to serve traffic, as of one generation."""

    generation: int
    accepted_ns: int  # CLOCK_MONOTONIC when the newest change in it was accepted, for propagation times
    settings_version: int
    settings: WorkerSettings
    routes_version: int
    routes: tuple[RouteRecord, ...]
    services: tuple[ServiceRecord, ...]
