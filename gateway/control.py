"""What the supervisor and a worker say to each other, and how a worker is started.

A worker is a fresh process `python -P -m gateway.worker SPEC`, where SPEC is a `WorkerSpec` as
JSON and every descriptor it names is inherited. Afterwards both talk over a SOCK_SEQPACKET pair,
one JSON object per packet; end of file on it means that the other side is gone.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import IntEnum, StrEnum

MESSAGE_BYTES = 4096
MOST_FDS = 253  # that one packet carries: SCM_MAX_FD of Linux
# Of listening sockets; the kernel cuts it down to net.core.somaxconn. A worker that is restarted lives on long queues.
BACKLOG = 4096
EXIT_CANNOT_BOOT = 3  # the supervisor halts instead of restarting: trying again would fail the same way


class WorkerState(IntEnum):
    """R_STATE of a worker's ledger row."""

    STARTING = 0
    SERVING = 1
    DRAINING = 2
    ORPHANED = 3  # the supervisor is gone; still serving for a short grace, or until a new gateway does


class Tell(StrEnum):
    """What may be said, by whom."""

    READY = "ready"  # worker: every listener is accepting, a snapshot is in use
    LISTEN = "listen"  # supervisor: accept from the sockets that come along and no others (shared: which all have)
    DRAIN = "drain"  # supervisor: finish what is in flight, then exit 0 (is_replaced: another gateway serves here)
    STOP = "stop"  # supervisor: exit now
    REOPEN_LOG = "reopen_log"  # supervisor: open the access log file anew
    REFUTE = "refute"  # supervisor: a probe succeeded (service, instance, since, detail); see LiveService.refute
    EJECTION = "ejection"  # worker: its ejections in the ledger changed (service, instance, detail, is_over)
    LOG = "log"  # worker: a line for the supervisor's log (level, event, fields)


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """All a worker needs to start. Numbers are inherited file descriptors unless said otherwise."""

    worker: int  # index, 0-based; also its row in the ledger
    rows: int  # of the ledger
    listeners: tuple[int, ...]
    shared: tuple[int, ...]  # those of `listeners` that all workers accept from
    board: int
    ledger: int
    stories: int
    wake: int  # eventfd, written after each publication
    control: int  # SOCK_SEQPACKET
    orphan_name: str  # where it can be called once its supervisor is gone; see gateway.handover.sockets
    spans: int  # SOCK_DGRAM, to the exporter of traces; see `gateway.trace_record`

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All that the worker inherits."""
        return (*self.listeners, self.board, self.ledger, self.stories, self.wake, self.control, self.spans)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> WorkerSpec:
        values = json.loads(text)
        values["listeners"] = tuple(values["listeners"])
        values["shared"] = tuple(values["shared"])
        return WorkerSpec(**values)


def encode_message(tell: Tell, **fields: object) -> bytes:
    """One packet. Raises ValueError if it does not fit into MESSAGE_BYTES."""
    packet = json.dumps({"tell": tell, **fields}).encode()
    if len(packet) > MESSAGE_BYTES:
        raise ValueError(f"control message of {len(packet)} bytes is over {MESSAGE_BYTES}")
    return packet


def decode_message(packet: bytes) -> tuple[Tell, dict[str, object]]:
    """The inverse of `encode_message`. Raises ValueError for anything else."""
    fields = json.loads(packet)
    return Tell(fields.pop("tell")), fields
