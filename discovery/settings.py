"""Settings of a service as declared by its owner: health, outlier detection and Consul access.

Plain frozen values, already validated by whoever built them (`gateway.config` for files and KV,
`discovery.tags` for tags). All times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ProbeType(StrEnum):
    """How an instance is probed."""

    HTTP = "http"
    TCP = "tcp"
    GRPC = "grpc"
    NONE = "none"


StatusRanges = tuple[tuple[int, int], ...]  # any of these, both ends of each included


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """Active health checking of one service's instances, or of one instance whose tags say otherwise."""

    type: ProbeType = ProbeType.HTTP
    interval: float = 5.0
    timeout: float = 2.0
    healthy_threshold: int = 2
    unhealthy_threshold: int = 3
    port: int = 0  # 0: the instance's own
    tls: bool = False
    tls_verify: bool = True
    tls_ca_file: str = ""  # PEM; empty: the system's
    host: str = ""  # Host or :authority, and the name on the certificate; empty: the instance's address
    method: str = "GET"  # for http, as are the next five
    path: str = "/health"
    headers: tuple[tuple[str, str], ...] = ()
    expected_status: StatusRanges = ((200, 399),)
    body_contains: str = ""
    body_regex: str = ""
    send: str = ""  # for tcp, as is the next
    expect: str = ""
    service: str = ""  # for grpc


@dataclass(frozen=True, slots=True)
class OutlierSettings:
    """Passive outlier detection, judged by the workers on real traffic."""

    consecutive_failures: int = 5
    eject_time: float = 30.0  # times the number of ejections so far, at most 300
    max_ejected_percent: int = 50  # of the service's instances, rounded down


@dataclass(frozen=True, slots=True)
class DnsSettings:
    """How names are resolved."""

    server: str = ""  # HOST:PORT of the one to ask; "": those of resolv.conf
    min_ttl: float = 1.0  # an answer is used at least so long...
    max_ttl: float = 30.0  # ...and at most


@dataclass(frozen=True, slots=True)
class ConsulSettings:
    """How Consul is reached and what is read from it."""

    address: str = "http://127.0.0.1:8500"
    token: str = ""
    datacenter: str = ""
    tag_prefixes: tuple[str, ...] = ("gw.", "urlprefix-")
    register: bool = False
    register_name: str = ""  # "": the gateway's own
    register_address: str = ""  # "": found out
    kv_prefix: str = "gw/"
    removal_grace: float = 30.0
    state_file: str = ""  # where the last known view outlives the gateway; "": a place of its own, "off": nowhere
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    token_file: str = ""  # read instead of `token`, and again whenever it changes

    def __repr__(self) -> str:  # a token must not reach a log through a repr
        return f"ConsulSettings(address={self.address!r}, datacenter={self.datacenter!r})"
