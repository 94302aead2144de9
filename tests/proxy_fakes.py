"""The proxy's surroundings, made up: connections whose other end is the test, a network of them, an access log.

Connections assert what a machine may not do: write, pause or resume after it has closed, or leave an end
that it was told of neither acted on nor put off.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gateway.errors import Reason
from gateway.h1.request import RequestHead
from gateway.proxy.attempts import Attempt, history
from gateway.proxy.downstream import Downstream
from gateway.proxy.exchange import Exchange
from gateway.proxy.gate import OwnAnswer
from gateway.proxy.transport import Connecting, Machine, Transport

if TYPE_CHECKING:
    from gateway.snapshot.model import WorkerSettings
    from tests.proxy_harness import World

HIGH_WATER: Final = 65536  # bytes kept for a peer that does not read


class FakeTransport:
    """One connection; its other end is driven by the test."""

    def __init__(self, world: World, machine: Machine | None = None) -> None:
        self.world = world
        self.received = bytearray()  # what has reached the peer
        self.kept = bytearray()  # what waits for the peer to read
        self.reads = True  # does the peer read?
        self.is_paused = False
        self.is_congested = False
        self.closed = ""  # "", "close", "linger", "abort" or "lost"
        self._sink: FakeTransport | None = None  # where what is received goes past the machine...
        self._relay_left = 0  # ...so much of it
        self.relayed = 0  # bytes that did
        self._mark = 0  # of len(kept), as in the worker's wires
        self._inbox: list[bytes] = []
        self._has_eof = False
        self._errno = 0
        self._machine = machine

    @property
    def machine(self) -> Machine:
        assert self._machine is not None
        return self._machine

    # --- Transport --------------------------------------------------------------------------------

    def write(self, data: bytes) -> bool:
        assert not self.closed, f"written after {self.closed}: {data!r}"
        assert data, "nothing was written"
        if self.reads:
            self.received += data
            return True
        self.kept += data
        self._mark = len(self.kept)
        if len(self.kept) > HIGH_WATER:
            self.is_congested = True
        return not self.is_congested

    def relay(self, to: Transport, size: int) -> None:
        assert not self.closed, f"relayed after {self.closed}"
        assert isinstance(to, FakeTransport)
        self._sink, self._relay_left = to, size

    def has_moved(self) -> bool:
        before, self._mark = self._mark, len(self.kept)
        return self._mark < before

    def pause(self) -> None:
        assert not self.closed, f"paused after {self.closed}"
        self.is_paused = True

    def resume(self) -> None:
        assert not self.closed, f"resumed after {self.closed}"
        self.is_paused = False

    def close(self, *, linger: bool = False) -> None:
        if not self.closed:
            self.closed = "linger" if linger else "close"
            self.received += self.kept
            self.kept.clear()

    def abort(self) -> None:
        if not self.closed or self.closed == "linger":
            self.closed = "abort"
            self.kept.clear()

    # --- the peer -----------------------------------------------------------------------------------

    def send(self, *pieces: bytes) -> None:
        """Let the gateway receive these pieces, and everything happen that follows."""
        self._inbox += pieces
        self.world.run()

    def eof(self) -> None:
        """The peer sends no more."""
        self._has_eof = True
        self.world.run()

    def reset(self, errno: int = 104) -> None:
        """The peer resets the connection. Told even while the connection is paused."""
        self._errno = errno
        self.world.run()

    def stop_reading(self) -> None:
        self.reads = False

    def read_some(self, size: int) -> None:
        """The peer reads less than all of what is kept for it."""
        assert size < len(self.kept)
        self.received += self.kept[:size]
        del self.kept[:size]

    def read_all(self) -> None:
        """The peer reads what is kept for it, and goes on reading."""
        self.reads = True
        self.received += self.kept
        self.kept.clear()
        if self.is_congested and not self.closed:
            self.is_congested = False
            self.machine.on_drained()
        self.world.run()

    def take(self) -> bytes:
        """What the peer received since the last call."""
        taken = bytes(self.received)
        self.received.clear()
        return taken

    # Methods, not properties: a type checker would take what an assertion said of them to hold for ever.
    def is_open(self) -> bool:
        return not self.closed

    def is_read(self) -> bool:
        """Does the gateway read what the peer sends?"""
        return not (self.closed or self.is_paused)

    @property
    def unread(self) -> int:
        """Bytes that the peer has sent and the gateway has not read."""
        return sum(map(len, self._inbox))

    def deliver(self) -> bool:
        """One event to the machine; False when there is none."""
        if self.closed:
            return False
        if self._errno:  # told whatever else holds
            self.closed = "lost"
            self.machine.on_lost(self._errno)
            return True
        if self.is_paused:
            return False
        if self._inbox:
            data = self._inbox.pop(0)
            if self.world.relays and self._relay(data):
                return True
            self._relay_left -= len(data)
            self.machine.on_data(data)
            return True
        if self._has_eof:
            self.machine.on_eof()
            assert not self.is_read(), "an end that is neither acted on nor put off is told for ever"
            return True
        return False

    def _relay(self, data: bytes) -> bool:
        """As much of it as may go past the machine; False: none of it."""
        sink = self._sink
        if self._relay_left <= 0 or sink is None or sink.closed or sink.kept:
            return False
        size = min(self._relay_left, len(data))
        self._relay_left -= size
        self.relayed += size
        if data[size:]:
            self._inbox.insert(0, data[size:])
        self.machine.on_relayed(size, not sink.write(data[:size]))
        return True


class FakeUpstream(FakeTransport):
    """A connection that the gateway opens."""

    def __init__(self, world: World, host: str, port: int, machine: Connecting) -> None:
        super().__init__(world, machine)
        self.host = host
        self.port = port
        self._connecting: Connecting = machine
        self.is_connected = False

    def accept(self) -> None:
        """The connection is made."""
        assert not self.is_connected
        self.is_connected = True
        self._connecting.on_connected()
        self.world.run()

    def refuse(self, errno: int = 111) -> None:
        """The connection is not made."""
        assert not self.is_connected
        self.closed = "lost"
        self._connecting.on_connect_failed(errno)
        self.world.run()

    def deliver(self) -> bool:
        if self.closed or self.is_connected:
            return super().deliver()
        if self.world.network.accepts:
            self.is_connected = True
            self._connecting.on_connected()
            return True
        return False

    def write(self, data: bytes) -> bool:
        assert self.is_connected, "written before the connection was made"
        return super().write(data)


class FakeNetwork:
    """Where instances answer."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.accepts = True  # are connections made at once?
        self.refuses: set[str] = set()  # hosts to which connect raises at once
        self.error = OSError(101, "Network is unreachable")  # what it raises
        self.connections: list[FakeUpstream] = []

    def connect(self, host: str, port: int, machine: Connecting) -> Transport:
        if host in self.refuses:
            raise self.error
        connection = FakeUpstream(self._world, host, port, machine)
        self.connections.append(connection)
        return connection


@dataclass(frozen=True)
class Line:
    """What the access log was told of one request."""

    status: int
    reason: Reason | None
    attempts: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    instance: str = ""
    detail: str = ""
    history: tuple[Attempt, ...] = ()


@dataclass
class FakeAccessLog:
    """Keeps the lines as values."""

    enabled: bool = True
    lines: list[Line] = field(default_factory=list)

    def use_settings(self, settings: WorkerSettings) -> None:
        """Lines are kept, whatever the settings."""

    def flush(self) -> None:
        """Nothing waits."""

    def record(self, exchange: Exchange) -> None:
        picked = exchange.instance
        self.lines.append(
            Line(
                exchange.status,
                exchange.reason,
                exchange.attempts,
                exchange.bytes_in,
                exchange.bytes_out,
                "" if picked is None else picked.host,
                exchange.detail,
                history(exchange),
            )
        )

    def record_refusal(self, down: Downstream, request_id: bytes, reason: Reason, detail: str) -> None:
        self.lines.append(Line(reason.status, reason, detail=detail))

    def record_own(self, down: Downstream, head: RequestHead, request_id: bytes, answer: OwnAnswer) -> None:
        self.lines.append(Line(answer.status, answer.reason, detail=answer.detail))
