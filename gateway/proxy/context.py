"""What all machines of one worker share: the time, the tables in force, counters, and ways out."""

from __future__ import annotations

import random
from math import inf
from typing import TYPE_CHECKING, Final, Protocol

from gateway.proxy.counts import Counts
from gateway.proxy.deadlines import Deadlines
from gateway.proxy.service import LiveService
from gateway.proxy.stories import Stories
from gateway.proxy.tracing import Tracer
from gateway.proxy.transport import Network
from gateway.routing.match import RouteTable
from gateway.shm.code_slots import CodeSlots
from gateway.snapshot.model import WorkerSettings

ID_DIGITS: Final = 48  # a trace id and a span id (W3C Trace Context: 16 and 8 bytes)
_IDS: Final = 128  # drawn at a time
NO_LIMIT: Final = 1 << 60

if TYPE_CHECKING:
    from gateway.errors import Reason
    from gateway.h1.request import RequestHead
    from gateway.proxy.downstream import Downstream
    from gateway.proxy.exchange import Exchange
    from gateway.proxy.gate import OwnAnswer


class AccessLog(Protocol):
    """Where finished exchanges are written down."""

    enabled: bool

    def use_settings(self, settings: WorkerSettings) -> None: ...

    def flush(self) -> None: ...

    def record(self, exchange: Exchange) -> None: ...

    def record_refusal(self, down: Downstream, request_id: bytes, reason: Reason, detail: str) -> None:
        """A request that could not be understood."""
        ...

    def record_own(self, down: Downstream, head: RequestHead, request_id: bytes, answer: OwnAnswer) -> None:
        """A request that found no route, or that the gateway answered by its route's rules."""
        ...


class Stats:
    """Figures of this worker, written to its ledger row once per batch."""

    __slots__ = (
        "accept_errors",
        "bytes_in",
        "bytes_out",
        "closing",
        "connections",
        "connections_refused",
        "connections_total",
        "crashes",
        "in_flight",
        "requests",
        "retries",
        "upstream_idle",
    )

    def __init__(self) -> None:
        self.connections = 0
        self.closing = 0  # connections that are over, but for a peer that has not taken the rest
        self.connections_total = 0
        self.connections_refused = 0
        self.accept_errors = 0
        self.in_flight = 0
        self.requests = 0
        self.retries = 0
        self.crashes = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.upstream_idle = 0


class Trust(Protocol):
    """Whose X-Forwarded-* is believed."""

    def __call__(self, peer: str) -> bool: ...


class Ids:
    """Random hexadecimal ids, drawn many at a time: a large random number costs more to print than to draw."""

    __slots__ = ("_at", "_pool", "_rng")

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._pool = b""
        self._at = 0

    def next(self) -> bytes:
        """ID_DIGITS random hexadecimal digits."""
        at = self._at
        if at == len(self._pool):
            self._pool = self._rng.randbytes(ID_DIGITS // 2 * _IDS).hex().encode()
            at = 0
        self._at = at + ID_DIGITS
        return self._pool[at : at + ID_DIGITS]


class Context:
    """Mutable, one per worker. Machines read it; the worker's loop and view write it."""

    __slots__ = (
        "access",
        "counts",
        "date",
        "deadlines",
        "draining",
        "gateway_field",
        "ids",
        "is_replaced",
        "most_in_flight",
        "network",
        "now",
        "report",
        "row",
        "sample_below",
        "samples_all",
        "services",
        "settings",
        "shortage_said_at",
        "spans",
        "stats",
        "stories",
        "table",
        "tracer",
        "trusts",
        "via_field",
        "wall",
        "words",
    )

    def __init__(
        self,
        *,
        settings: WorkerSettings,
        table: RouteTable,
        words: memoryview,
        row: int,
        codes: CodeSlots,
        access: AccessLog,
        stories: Stories,
        trusts: Trust,
        report: Reporter,
        rng: random.Random,
    ) -> None:
        self.now = 0.0  # monotonic seconds, read once per batch of events
        self.wall = 0.0  # Unix seconds, likewise
        self.date = b""  # the same as an HTTP date (RFC 9110 5.6.7)
        self.words = words  # the whole ledger
        self.row = row
        self.counts = Counts(words, row, codes)
        self.network: Network  # the loop, which needs the context first
        self.access = access
        self.stories = stories
        self.ids = Ids(rng)
        self.report = report
        self.deadlines = Deadlines()
        self.stats = Stats()
        self.services: dict[str, LiveService] = {}
        self.spans: list[tuple[bytes, int]] = []  # records of traced requests, each with how many spans it holds
        self.table = table
        self.draining = False
        self.is_replaced = False  # draining, and another gateway takes the connections: /ready is still 200
        self.shortage_said_at = -inf  # when it was last reported that the machine lacks something
        self.trusts = trusts
        self.use_settings(settings, trusts)

    def use_settings(self, settings: WorkerSettings, trusts: Trust) -> None:
        """Take over new settings; they hold for requests that begin from now on."""
        name = settings.name.encode("latin-1", "replace")
        self.settings = settings
        self.most_in_flight = settings.in_flight or NO_LIMIT
        self.trusts = trusts
        self.gateway_field = b"X-Gateway: " + name + b"\r\n" if settings.server_header else b""
        self.via_field = b"Via: 1.1 " + name.replace(b" ", b"-") + b"\r\n"
        self.samples_all = settings.trace_sample >= 1.0
        self.sample_below = b"%016x" % round(settings.trace_sample * 2**64)
        is_tracing = settings.traces or settings.trace_b3
        self.tracer = Tracer(self, records=settings.traces, accepts_b3=settings.trace_b3) if is_tracing else None

    def is_sampled(self, trace: bytes) -> bool:
        """Is a trace with this id (32 hexadecimal digits) sampled, where that is for the gateway to decide?

        By the lower half of the id, as OpenTelemetry's TraceIdRatioBased: all who decide so decide alike.
        """
        return self.samples_all or trace[16:] < self.sample_below


class Reporter(Protocol):
    """Tells of something that a person should know, through the supervisor's log."""

    def __call__(self, level: str, event: str, **fields: object) -> None: ...
