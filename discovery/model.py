"""What exists: instances, services and routes, and where each was learnt.

Immutable values shared by every layer above. Nothing here says whether an instance is *well*;
that is `healthcheck`'s word, joined with these by `gateway.snapshot.resolve`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from discovery.settings import HealthSettings, OutlierSettings


class OriginKind(StrEnum):
    """Where a route, service, instance or problem comes from; also its precedence, highest first."""

    FILE = "file"
    KV = "kv"
    TAG = "tag"
    CONSUL = "consul"  # of problems only: Consul itself, not what it holds
    GATEWAY = "gateway"  # the gateway itself: problems only


@dataclass(frozen=True, slots=True)
class Origin:
    """The source of an entry, said so that a person finds it again."""

    kind: OriginKind
    detail: str  # "gateway.toml routes[0]", "service users, instance users-1, tag gw.path=/x", "gw/routes/a"

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}"


class Standing(StrEnum):
    """What discovery itself says of an instance (Consul's checks); static instances are passing."""

    PASSING = "passing"
    WARNING = "warning"
    CRITICAL = "critical"
    MAINTENANCE = "maintenance"


def join_address(host: str, port: int) -> str:
    """`host:port`, with IPv6 addresses bracketed (RFC 3986 section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class Instance:
    """One place where a service answers. Its identity is (service, address)."""

    host: str  # an IP address once it has left its Source: workers never resolve names
    port: int
    weight: int = 1  # Consul's passing or warning weight, or the file's; 0 takes no traffic
    standing: Standing = Standing.PASSING
    detail: str = ""  # why the standing is not passing, e.g. "check 'web' is critical: timeout"
    id: str = ""  # Consul's service id; empty for static instances
    name: str = ""  # the host name that `host` was resolved from, if one was
    datacenter: str = ""  # of Consul; empty for static instances
    provisional: bool = False  # not in an answer after a break, or its checks unrun; kept while it passes probes
    health: tuple[tuple[str, object], ...] = ()  # what its own tags change of its service's HealthSettings

    @property
    def address(self) -> str:
        return join_address(self.host, self.port)

    @property
    def authority(self) -> str:
        """host:port as registered: the name, where there is one."""
        return join_address(self.name or self.host, self.port)


@dataclass(frozen=True, slots=True)
class StaticTarget:
    """An instance written in a file: the host may be a name and is resolved by its Source."""

    host: str
    port: int  # 0: the host is the name of SRV records, which carry ports and weights
    weight: int = 1

    @property
    def is_srv(self) -> bool:
        return self.port == 0


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """A service as declared (by file, KV, tags, or a route's target_url)."""

    name: str
    origin: Origin
    consul: str = ""  # discovered under this name in Consul
    datacenter: str = ""  # of Consul; empty: the one the gateway asks anyway
    failover: tuple[str, ...] = ()  # datacenters, each used while no nearer one has an eligible instance
    targets: tuple[StaticTarget, ...] = ()
    balance: str = "least_connections"
    hash_on: str = "client_ip"  # client_ip, path, header:NAME, cookie:NAME
    connect_timeout: float = 4.0
    max_in_flight: int = 0  # per instance over all workers; 0: no limit
    keepalive_idle: float = 30.0
    slow_start: float = 0.0
    fail_open_below: int = 0  # percent; 0: off
    health: HealthSettings = field(default_factory=HealthSettings)
    outlier: OutlierSettings = field(default_factory=OutlierSettings)


@dataclass(frozen=True, slots=True)
class Handling:
    """What a route does with a request besides sending it on as it came."""

    strip: str = ""  # removed from the beginning of the path, as text; a path that begins otherwise keeps it
    prepend: str = ""  # put before what is left of the path
    host: str = ""  # the Host that is sent on: "" the client's own, "dst" the instance's as it is registered
    redirect: int = 0  # 0, or the status of the answer that sends the client to `location`
    location: str = ""  # of a redirect; $path and $host in it stand for the request's
    allow: tuple[str, ...] = ()  # CIDRs of clients; not empty: all others are denied
    deny: tuple[str, ...] = ()  # CIDRs of clients that are denied


PLAIN = Handling()


@dataclass(frozen=True, slots=True)
class Share:
    """A part in a split: routes of one host and path that are all in force and share its requests.

    Every eligible instance counts: those with a fraction get that much of the traffic each, the others an
    equal part of what is left (see `gateway.routing.split`).
    """

    fraction: float = 0.0  # of the requests, per instance; 0: an equal part of what the fractions leave
    instances: tuple[str, ...] = ()  # only these of the service, host:port as registered; empty: all of them


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """A route as declared. `service` always names a ServiceSpec (target_url routes get one of their own)."""

    path: str  # "/exact", "/prefix/*", "/users/{id}/posts", "/text**" (whatever begins with /text)
    service: str
    origin: Origin
    host: str = ""  # "", "api.example.com" or "*.example.com"; lower case
    methods: tuple[str, ...] = ()  # empty: all
    strip_path: bool = False
    timeout: float = 30.0
    per_try_timeout: float = 0.0  # 0: the rest of timeout
    stream_idle_timeout: float = 60.0
    retry_count: int = 3
    headers: tuple[tuple[str, str], ...] = ()  # added to the forwarded request
    options: str = ""  # as the tag writes them, for people; of two parts of one service in a split it tells which
    handling: Handling = PLAIN
    share: Share | None = None  # None: nobody else may have the same requests
    is_refused: bool = False  # it cannot be honoured: its requests get 404, and no less specific route has them
    log_sample: float = 1.0  # share of its requests in the access log


@dataclass(frozen=True, slots=True)
class Problem:
    """Something declared that could not be understood or honoured; shown in status, routes and log."""

    origin: Origin
    message: str
