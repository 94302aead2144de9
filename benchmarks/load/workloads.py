"""What is sent through every peer, as a table. Nothing here runs anything."""

from dataclasses import dataclass

SMALL = 100
MEDIUM = 16 * 1024
LARGE = 1024 * 1024
HUGE = 256 * 1024 * 1024

BASE = "small"
"""The workload that `AGAINST_ITSELF` is compared with, within one peer."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of load. Sizes are bytes of body."""

    name: str
    title: str
    connections: int
    method: str = "GET"
    request_bytes: int = 0
    response_bytes: int = SMALL
    keep_alive: bool = True
    """False: every request comes on a connection of its own."""
    routes: int = 1
    """More than one: each a prefix of its own, the last one is asked for."""
    instances: int = 3
    idle: int = 0
    """Connections that have made one request, and are held open without another while the load runs."""
    stalled: int = 0
    """Clients that, after the load, ask for the response and stop reading it."""
    workers: tuple[int, ...] = (1,)
    is_spread: bool = False
    """Peer, load and upstream share all cores (with fewer than four); otherwise the peer is alone on its own."""
    is_logged: bool = True
    """False: without an access log, to see what it costs."""
    is_long: bool = False
    """Only in a full run."""

    @property
    def is_transfer(self) -> bool:
        """Bodies so large that the figures are per MiB, and whole transfers are driven instead of requests."""
        return max(self.request_bytes, self.response_bytes) >= HUGE

    @property
    def is_upload(self) -> bool:
        """The upstream must read the body to its end before it answers."""
        return self.request_bytes >= HUGE

    @property
    def unit(self) -> str:
        """What CPU and speed are counted in."""
        return "MiB" if self.is_transfer else "request"

    @property
    def prefix(self) -> str:
        """In front of every path: what makes it the last route's."""
        return f"/{route_names(self.routes)[-1]}" if self.routes > 1 else ""

    @property
    def path(self) -> str:
        """The upstream serves each response size under its own path."""
        return f"{self.prefix}/{self.response_bytes}"

    @property
    def client_connections(self) -> int:
        """What a peer must be configured to accept at once, with room for the checks."""
        return max(4096, self.idle + self.idle // 2)


def route_names(count: int) -> tuple[str, ...]:
    """Names of the routes. A single one takes every path, others the paths that begin with their name."""
    return tuple(f"r{number:05d}" for number in range(count)) if count > 1 else ("all",)


WORKLOADS = (
    Workload("small", "GET, 100 B, 64 connections", 64),
    Workload("routes-1k", "last of 1,000 routes; 100 B, 64 connections", 64, routes=1000),
    Workload("instances-200", "one service of 200 instances; 100 B, 64 connections", 64, instances=200),
    Workload("idle-10k", "100 B, 64 connections beside 10,000 idle ones", 64, idle=10_000),
    Workload("routes-10k", "last of 10,000 routes; 100 B, 64 connections", 64, routes=10_000, is_long=True),
    Workload("no-log", "100 B, 64 connections; no access log", 64, is_logged=False),
    Workload("small-512", "GET, 100 B, 512 connections", 512),
    Workload("post-1k", "POST of 1 KiB, 64 connections", 64, method="POST", request_bytes=1024),
    Workload("16k", "response of 16 KiB, 64 connections", 64, response_bytes=MEDIUM),
    Workload("1m", "response of 1 MiB, 64 connections", 64, response_bytes=LARGE),
    Workload("new-connection", "100 B, a new connection each, 64 at a time", 64, keep_alive=False),
    Workload("one", "100 B, one connection", 1),
    Workload(
        "download", "response of 256 MiB, 2 connections; then 8 stalled clients", 2, response_bytes=HUGE, stalled=8
    ),
    Workload("upload", "POST of 256 MiB, 2 connections", 2, method="POST", request_bytes=HUGE),
    Workload("two-workers", "GET, 100 B, 64 connections, cores shared", 64, workers=(1, 2), is_spread=True),
)

BY_NAME = {workload.name: workload for workload in WORKLOADS}
SIZES = tuple(sorted({workload.response_bytes for workload in WORKLOADS}))
AGAINST_ITSELF = ("routes-1k", "routes-10k", "instances-200", "idle-10k", "no-log")
"""What is compared with `BASE`: the first four should cost no more, as nothing in it depends on how much else there is;
the last shows what the access log costs."""
SCALING = "two-workers"
