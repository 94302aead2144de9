"""What is sent through every peer, as a table. Nothing here runs anything."""

from dataclasses import dataclass

SMALL = 100
MEDIUM = 16 * 1024
LARGE = 1024 * 1024


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

    @property
    def path(self) -> str:
        """The upstream serves each response size under its own path."""
        return f"/{self.response_bytes}"


WORKLOADS = (
    Workload("small", "100 B, 64 connections", 64),
    Workload("small-512", "100 B, 512 connections", 512),
    Workload("post-1k", "POST of 1 KiB, 64 connections", 64, method="POST", request_bytes=1024),
    Workload("16k", "16 KiB, 64 connections", 64, response_bytes=MEDIUM),
    Workload("1m", "1 MiB, 64 connections", 64, response_bytes=LARGE),
    Workload("new-connection", "100 B, a new connection each, 64 at a time", 64, keep_alive=False),
    Workload("one", "100 B, one connection", 1),
)

BY_NAME = {workload.name: workload for workload in WORKLOADS}
SIZES = tuple(sorted({workload.response_bytes for workload in WORKLOADS}))
