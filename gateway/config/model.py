"""The configuration file's schema: every key with its type, default, unit, bounds and meaning.

`extra="forbid"` makes unknown keys errors; `strict` keeps "8" from passing as 8. What no single key
can say (routes that hide each other, services that do not exist) is in `validate`.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.config import probe_values, values
from gateway.config.kinds import (
    Bind,
    ConsulAddress,
    Datacenter,
    FieldName,
    FieldValue,
    Flag,
    GatewayName,
    InstanceUrl,
    Kind,
    Method,
    Name,
    Network,
    OptionalName,
    OptionalUrl,
    Seconds,
    Section,
    Share,
    StatusRanges,
    Text,
    Whole,
    distinct,
    distinct_fields,
    usable_cpus,
    word,
)
from gateway.config.log_model import LogConfig
from gateway.config.tracing_model import TracingConfig


def url_table(value: object) -> object:
    """An instance written as its URL alone is the table { url = ... }."""
    return {"url": value} if isinstance(value, str) else value


class GatewayConfig(Section):
    """The gateway itself."""

    name: GatewayName = Field(
        default="edge", description="Value of the `X-Gateway` response header. Environment: `APP_NAME`."
    )
    listen: tuple[Bind, ...] = Field(
        default=("0.0.0.0:8080",),
        strict=False, min_length=1, max_length=64,
        description="Addresses that take requests; port 0 lets the system choose.",
    )  # fmt: skip
    admin: Bind = Field(
        default="127.0.0.1:9901", description="Address of the admin interface. Changed by a restart only."
    )
    admin_write: Flag = Field(
        default=False,
        description="The page on `admin` can drain, undrain and reload; without this or `admin_token` it only shows.",
    )
    admin_token: Annotated[str, AfterValidator(values.check_secret), Kind("string")] = Field(
        default="",
        repr=False,
        description="What operates the gateway through `admin` must send this (`Authorization: Bearer`): the page asks "
        "for it, `gw` takes it from `GW_ADMIN_TOKEN` or `./gateway.toml`. Never logged. Set it when `admin` is not on "
        "loopback.",
    )
    workers: Whole = Field(
        default_factory=usable_cpus,
        ge=1, le=256,
        description="Worker processes. Those too many drain.",
        json_schema_extra={"default_text": "the CPUs this process may use"},
    )  # fmt: skip
    drain_timeout: Seconds = Field(
        default=30.0, ge=0, le=86400, description="How long requests in flight may take to finish on shutdown."
    )
    shutdown_delay: Seconds = Field(
        default=0.0, ge=0, le=3600,
        description="How long it serves on after SIGTERM, with `/ready` 503 at once for balancers; then it drains.",
    )  # fmt: skip
    trusted_proxies: tuple[Network, ...] = Field(
        default=(),
        strict=False,
        description="Peers whose `X-Forwarded-*` and `Forwarded` are believed and, once checked, continued.",
    )
    server_header: Flag = Field(default=True, description="Send `X-Gateway` on responses.")
    proxy_protocol: Flag = Field(
        default=False,
        description="Every connection to `listen` begins with a PROXY protocol header (version 1 or 2), whose address "
        "is the client's; without one it is closed. Only proxies may reach such a port: anybody else could make an "
        "address up.",
    )


class LimitsConfig(Section):
    """What one client may ask for."""

    header_bytes: Whole = Field(
        default=65536,
        ge=1024,
        le=1048576,
        description="Bytes of a request head; 431 past it, 414 if its first line alone is.",
    )
    headers: Whole = Field(default=100, ge=1, le=10000, description="Header fields of a request; 431 past it.")
    body_bytes: Whole = Field(
        default=0, ge=0, le=2**50, description="Bytes of a request body; 413 past it. 0: no limit."
    )
    header_timeout: Seconds = Field(
        default=10.0, gt=0, le=3600, description="Time for a request head to arrive; then 408."
    )
    idle_timeout: Seconds = Field(
        default=75.0, gt=0, le=86400, description="Time a connection may wait for its next request."
    )
    connections: Whole = Field(
        default=10000, ge=1, le=1000000, description="Client connections per worker; past it 503 and close."
    )
    in_flight: Whole = Field(
        default=0,
        ge=0,
        le=1000000,
        description="Requests in flight per worker, upgrades included; past it 503 `overloaded`. 0: no limit.",
    )


class ConsulConfig(Section):
    """Service discovery. Without this table, `--consul` or `CONSUL_HTTP_ADDR` there is no Consul."""

    address: ConsulAddress = Field(
        default="http://127.0.0.1:8500", description="The agent: http:// or https://. Environment: `CONSUL_HTTP_ADDR`."
    )
    token: Annotated[str, AfterValidator(values.check_secret), Kind("string")] = Field(
        default="", description="ACL token; never logged, never in a URL. Environment: `CONSUL_HTTP_TOKEN`."
    )
    datacenter: Datacenter = Field(default="", description="Datacenter to ask; empty: the agent's own.")
    tag_prefixes: tuple[Name, ...] = Field(
        default=("gw.", "urlprefix-"), strict=False, description="Tags with these prefixes make routes."
    )
    registers: Flag = Field(
        default=False,
        alias="register",
        description="Register the gateway itself with the agent, checked at `/ready` of the first `listen` "
        "address; taken out when it stops, registered again when the agent has forgotten it.",
    )
    register_name: OptionalName = Field(
        default="", description="The name it is registered under. Empty: `gateway.name`."
    )
    register_address: Annotated[str, AfterValidator(values.check_address), Kind("host")] = Field(
        default="",
        description="Where others and the agent's check reach it. Empty: the host of `listen`, or for 0.0.0.0 and [::] "
        "this machine's address on the way to Consul.",
    )
    kv_prefix: Annotated[str, AfterValidator(values.check_kv_prefix), Kind("string")] = Field(
        default="gw/", description="Folder in Consul's KV that holds routes and services; empty: the KV is not read."
    )
    removal_grace: Seconds = Field(
        default=30.0, ge=0, le=3600, description="After a break in the watch, removals are provisional this long."
    )
    state_file: Annotated[str, AfterValidator(values.check_state_file), Kind("string")] = Field(
        default="",
        description="File that keeps Consul's last answers over a restart of the gateway while Consul is away; "
        '`"off"`: none. Empty: one for this gateway name and Consul in `$STATE_DIRECTORY` (set by systemd), else '
        "`$XDG_STATE_HOME/gw`, else `~/.local/state/gw`.",
    )
    ca_file: Text = Field(default="", description="CA certificates (PEM) for https://; empty: the system's.")
    token_file: Text = Field(
        default="",
        description="File that holds the ACL token, instead of `token`; read again whenever it changes. "
        "Environment: `CONSUL_HTTP_TOKEN_FILE`.",
    )
    cert_file: Text = Field(default="", description="Client certificate (PEM) for https://.")
    key_file: Text = Field(default="", description="Key (PEM) of the client certificate.")


class DnsConfig(Section):
    """How host names are resolved: by the hosts file, then DNS. Changed by a restart only."""

    server: Annotated[str, AfterValidator(values.check_dns_server), Kind("ADDRESS:PORT")] = Field(
        default="",
        description="The server to ask, such as `127.0.0.1:8600`, Consul's own. Empty: those of `/etc/resolv.conf`.",
    )
    min_ttl: Seconds = Field(default=1.0, ge=0.1, le=3600, description="An answer is used at least so long.")
    max_ttl: Seconds = Field(default=30.0, ge=0.1, le=86400, description="And at most so long, whatever its TTL.")


class InstanceConfig(Section):
    """An instance, when it needs more than its URL."""

    url: InstanceUrl = Field(description="http://HOST:PORT.")
    weight: Whole = Field(default=1, ge=0, le=65535, description="Share of the traffic; 0 takes none.")


class HealthConfig(Section):
    """Active health checks. An instance gets no traffic before its first successful probe."""

    type: Annotated[str, word("http", "tcp", "grpc", "none")] = Field(
        default="http", description="How an instance is probed; grpc is the standard `grpc.health.v1.Health/Check`."
    )
    interval: Seconds = Field(default=5.0, ge=0.1, le=3600, description="Time between probes, jittered by 10 %.")
    timeout: Seconds = Field(default=2.0, ge=0.01, le=3600, description="Time a probe may take.")
    healthy_threshold: Whole = Field(
        default=2, ge=1, le=1000, description="Successes in a row that make it healthy again."
    )
    unhealthy_threshold: Whole = Field(
        default=3, ge=1, le=1000, description="Failures in a row that make it unhealthy."
    )
    port: Whole = Field(default=0, ge=0, le=65535, description="Port to probe. 0: the instance's own.")
    host: Annotated[str, AfterValidator(probe_values.check_probe_host), Kind("HOST or HOST:PORT")] = Field(
        default="",
        description="`Host` (`:authority` of grpc), and the name on the certificate. Empty: the instance's address.",
    )
    tls: Flag = Field(default=False, description="Probe over TLS (https).")
    tls_verify: Flag = Field(default=True, description="Refuse a certificate that is not valid for `host`.")
    tls_ca_file: Text = Field(default="", description="CA certificates (PEM); empty: the system's.")
    method: Method = Field(default="GET", description="http: the request method.")
    path: Annotated[str, AfterValidator(probe_values.check_probe_path), Kind("path")] = Field(
        default="/health", description="http: what is asked for, a query allowed."
    )
    headers: Annotated[dict[FieldName, FieldValue], AfterValidator(distinct_fields), Kind("table of strings")] = Field(
        default_factory=dict, description="http: header fields of the probe."
    )
    expected_status: StatusRanges = Field(
        default=((200, 399),), strict=False,
        description='http: status codes of a success: `[low, high]`, both included, or a list of codes and ranges: '
        '`["200-299", "404"]`.',
        json_schema_extra={"default_text": "`[200, 399]`"},
    )  # fmt: skip
    body_contains: Text = Field(default="", description="http: text that the first 64 KiB of the body must hold.")
    body_regex: Annotated[str, AfterValidator(probe_values.check_regex), Kind("regular expression")] = Field(
        default="", description="http: pattern (Python's `re`) to be found in the first 64 KiB of the body."
    )
    send: Text = Field(default="", description="tcp: what is sent once connected.")
    expect: Text = Field(default="", description="tcp: what the first 64 KiB of the answer must hold.")
    service: OptionalName = Field(default="", description="grpc: the service asked about. Empty: the whole server.")


class OutlierConfig(Section):
    """Passive checks, judged on real traffic: connect errors, resets, timeouts, 502, 503, 504."""

    consecutive_failures: Whole = Field(
        default=5, ge=0, le=1000000, description="Failures in a row that eject an instance. 0: nothing is ejected."
    )
    eject_time: Seconds = Field(
        default=30.0, gt=0, le=300, description="Time out, times the number of ejections so far, at most 300 s."
    )
    max_ejected_percent: Whole = Field(
        default=50, ge=0, le=100,
        description="Most instances ejected, or held for flapping, at once; rounded down, never the last. 0: none.",
    )  # fmt: skip


class ServiceConfig(Section):
    """A service and how its instances are used."""

    name: Name = Field(description="The name that routes use.")
    consul: OptionalName = Field(
        default="", description="Discovered under this name in Consul; `instances` may be added."
    )
    datacenter: Datacenter = Field(
        default="", description="Consul datacenter in which it is discovered; empty: `consul.datacenter`."
    )
    failover: Annotated[
        tuple[Datacenter, ...], BeforeValidator(values.to_list), AfterValidator(values.check_failover)
    ] = Field(
        default=(),
        strict=False,
        description="Consul datacenters, each used only while none before it has an eligible instance.",
    )
    instances: tuple[Annotated[InstanceConfig, BeforeValidator(url_table), Kind("URL or table")], ...] = Field(
        default=(), strict=False, description='Static instances: "http://HOST:PORT" or { url = ..., weight = ... }.'
    )
    dns: Annotated[str, AfterValidator(values.check_dns), Kind("name")] = Field(
        default="",
        description="Discovered in DNS: all addresses of `NAME:PORT` (port 80 unless said), or all instances that the "
        "SRV records of `_SERVICE._PROTOCOL.NAME` list, with their ports and weights.",
    )
    balance: Annotated[
        str, word("least_connections", "weighted", "round_robin", "random", "least_latency", "hash")
    ] = Field(default="least_connections", description="How an instance is picked.")  # fmt: skip
    hash_on: Annotated[str, AfterValidator(values.check_hash_on), Kind("string")] = Field(
        default="client_ip", description="What `balance = \"hash\"` hashes: client_ip, path, header:NAME, cookie:NAME."
    )  # fmt: skip
    connect_timeout: Seconds = Field(default=4.0, gt=0, le=3600, description="Time for a connection to an instance.")
    max_in_flight: Whole = Field(
        default=0, ge=0, le=1000000,
        description="Requests in flight per instance, over all workers; past it another, else 503. 0: no limit.",
    )  # fmt: skip
    keepalive_idle: Seconds = Field(
        default=30.0, ge=0, le=3600, description="How long an idle connection to an instance is kept."
    )
    slow_start: Seconds = Field(
        default=0.0,
        ge=0,
        le=3600,
        description="The share of an instance that begins to take traffic grows from 10 % to full in this time.",
    )
    fail_open_below: Whole = Field(
        default=0,
        ge=0,
        le=100,
        description="With fewer than this percentage of instances eligible, all are used that nobody took out. 0: off.",
    )
    health: HealthConfig = Field(default_factory=HealthConfig, description="See below.")
    outlier: OutlierConfig = Field(default_factory=OutlierConfig, description="See below.")


class RouteConfig(Section):
    """A route: which requests go to which service. The most specific route wins."""

    path: Annotated[str, AfterValidator(values.check_route_path), Kind("path")] = Field(
        description="Exact, or a prefix ending in `/*`, or with `{name}` segments."
    )
    host: Annotated[str, AfterValidator(values.check_route_host), Kind("host")] = Field(
        default="", description="Only requests for this host; `*.example.com` allowed. Empty: any."
    )
    methods: Annotated[tuple[Method, ...], AfterValidator(distinct)] = Field(
        default=(), strict=False, description="Methods allowed; another gets 405 with `Allow`. Empty: all."
    )
    service: Annotated[str, Kind("name")] = Field(default="", description="The service that answers; or `target_url`.")
    target_url: OptionalUrl = Field(
        default="", description="The one address that answers, without health checks; instead of `service`."
    )
    strip_path: Flag = Field(default=False, description="Remove the matched prefix before forwarding.")
    timeout: Seconds = Field(
        default=30.0, gt=0, le=86400, description="Time up to the response head, retries included."
    )
    per_try_timeout: Seconds = Field(
        default=0.0, ge=0, le=86400, description="Time of one attempt. 0: the rest of `timeout`."
    )
    stream_idle_timeout: Seconds = Field(
        default=60.0, gt=0, le=86400, description="No byte either way, once the body flows; upgrades: 3600 s."
    )
    retry_count: Whole = Field(
        default=3,
        ge=0,
        le=100,
        description="Further attempts: idempotent requests only (after a refused connect: any).",
    )
    headers: Annotated[dict[FieldName, FieldValue], AfterValidator(distinct_fields), Kind("table of strings")] = Field(
        default_factory=dict, description="Header fields added to the forwarded request."
    )
    log_sample: Share = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of its requests that get a line in the access log; failed and retried ones always do.",
    )


class FileConfig(Section):
    """The whole file."""

    gateway: GatewayConfig = Field(default_factory=GatewayConfig)
    limits: LimitsConfig = Field(default_factory=LimitsConfig)
    log: LogConfig = Field(default_factory=LogConfig)
    consul: ConsulConfig | None = None
    dns: DnsConfig = Field(default_factory=DnsConfig)
    tracing: TracingConfig = Field(default_factory=TracingConfig)
    services: tuple[ServiceConfig, ...] = Field(default=(), strict=False)
    routes: tuple[RouteConfig, ...] = Field(default=(), strict=False)


def section_at(path: tuple[int | str, ...]) -> type[Section] | None:
    """The model of the table at a path such as ("services", 0, "health"); None where there is no such table."""
    model: type[Section] | None = FileConfig
    for step in path:
        if isinstance(step, int):
            continue
        if model is None:
            return None
        model = next((section for key, section in subsections(model) if key == step), None)
    return model


def subsections(model: type[Section]) -> list[tuple[str, type[Section]]]:
    """The (key, model) of every table directly below one."""
    return [
        (field.alias or name, section)
        for name, field in model.model_fields.items()
        if (section := _section_in(field.annotation)) is not None
    ]


def _section_in(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for part in getattr(annotation, "__args__", ()) if (found := _section_in(part))), None)


def keys_of(model: type[Section]) -> tuple[str, ...]:
    """The keys of a table as written in the file."""
    return tuple(field.alias or name for name, field in model.model_fields.items())
