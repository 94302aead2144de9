"""The sockets of all probes in flight, on one epoll.

Cost is what shaped this: a probe of its own task with trio's sockets takes 0.35 ms of CPU, one on this wire 0.1, of
which the kernel takes most. So there is no task, no cancel scope and no stream per probe; one task waits for the epoll
(an epoll is readable when it has events) and takes all that has happened in one go.

Every probe has a connection of its own, closed after it. Kept connections would be cheaper still, and would not ask
what matters: whether the instance *accepts*. One that is shutting down closes its listener first and goes on
answering on the connections it has.

Rules
- Addresses are numeric; nothing here resolves names.
- Sending is tried right after connecting: on the machine itself the connection is made by then, and one turn saved.
- A socket is watched for input, and for output only while something waits to be sent or the connection to be made.
- What has ended is told by `collect`, never from within `start`, so callers need not expect an end while they start.
"""

from __future__ import annotations

import select
import socket
from contextlib import suppress
from errno import EINPROGRESS
from os import strerror
from typing import Generic, Protocol, TypeVar

import trio

from healthcheck.conversation import Conversation, Impossible, Kind, Outcome, Probe
from healthcheck.fault import REFUSED, outcome_of

K = TypeVar("K")

RECEIVE_BYTES = 16 * 1024
BATCH = 128  # events taken in one go; other tasks run between


class Flight(Generic[K]):
    """One probe under way. `key` is whatever its sender put there."""

    __slots__ = ("address", "conversation", "is_connected", "key", "outcome", "pending", "sock", "watched")

    conversation: Conversation  # once there is a socket

    def __init__(self, key: K, address: tuple[str, int]) -> None:
        self.key = key
        self.address = address
        self.sock: socket.socket | None = None
        self.pending = b""
        self.is_connected = False
        self.watched = 0  # the events that its socket is registered for
        self.outcome: Outcome | None = None

    @property
    def wanted(self) -> int:
        """The events that its socket should be registered for."""
        return select.EPOLLIN if self.is_connected and not self.pending else select.EPOLLIN | select.EPOLLOUT


class Network(Protocol[K]):
    """What carries probes: the wire, or a script in tests."""

    def start(self, key: K, probe: Probe) -> Flight[K]:
        """Send a probe; its end comes with `collect`."""
        ...

    def stop(self, flight: Flight[K]) -> None:
        """Forget a probe: it never ends, unless it has already."""
        ...

    def collect(self) -> tuple[list[Flight[K]], bool]:
        """What has ended since the last time, and whether everything that arrived has been looked at."""
        ...

    async def wait(self, until: float) -> None:
        """Return when there may be something to collect, at `until` (trio's clock), or when woken."""
        ...

    def wake(self) -> None:
        """Let `wait` return."""
        ...

    def close(self) -> None:
        """Close everything."""
        ...


class Wire(Generic[K]):
    """The Network of real sockets."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._flights: dict[int, Flight[K]] = {}  # by file descriptor
        self._ended: list[Flight[K]] = []
        self._sleep: trio.CancelScope | None = None

    def __repr__(self) -> str:
        return f"<Wire {len(self._flights)} in flight>"

    def start(self, key: K, probe: Probe) -> Flight[K]:
        flight = Flight(key, probe.address)
        try:
            flight.conversation = probe.converse()
            sock = socket.socket(probe.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, 0)
        except Impossible as error:
            self._end(flight, Outcome(ok=False, text=str(error), kind=Kind.REFUSAL))
            return flight
        except OSError as error:
            self._end(flight, outcome_of(error.errno or 0, error.strerror or ""))
            return flight
        flight.sock = sock
        descriptor = sock.fileno()
        self._flights[descriptor] = flight
        error_number = sock.connect_ex(probe.address)
        if error_number not in (0, EINPROGRESS):
            self._end(flight, outcome_of(error_number, strerror(error_number)))
            return flight
        flight.pending = flight.conversation.open()
        self._push(flight)
        if flight.outcome is None:
            flight.watched = flight.wanted
            self._epoll.register(descriptor, flight.watched)
        return flight

    def stop(self, flight: Flight[K]) -> None:
        if flight.sock is not None and self._flights.pop(flight.sock.fileno(), None) is not None:
            # Closing alone does not end a registration while a child that was just forked, and has not yet executed its
            # program, holds the same socket (epoll(7), Q6): events of a closed socket would come.
            if flight.watched:
                self._epoll.unregister(flight.sock)
            flight.sock.close()

    def collect(self) -> tuple[list[Flight[K]], bool]:
        events = self._epoll.poll(0, BATCH)
        for descriptor, mask in events:
            flight = self._flights[descriptor]
            if flight.pending or not flight.is_connected:
                self._push(flight)
            if flight.outcome is None and mask & ~select.EPOLLOUT:
                self._pull(flight)
            if flight.outcome is None and flight.watched != flight.wanted:
                flight.watched = flight.wanted
                self._epoll.modify(descriptor, flight.watched)
        ended, self._ended = self._ended, []
        return ended, len(events) < BATCH

    async def wait(self, until: float) -> None:
        if self._ended:
            await trio.lowlevel.checkpoint()
            return
        with trio.CancelScope(deadline=until) as self._sleep:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
        self._sleep = None

    def wake(self) -> None:
        if self._sleep is not None:
            self._sleep.cancel()

    def close(self) -> None:
        for flight in list(self._flights.values()):
            self.stop(flight)
        self._epoll.close()

    def _push(self, flight: Flight[K]) -> None:
        """Send what waits; that also finds out whether the connection is made."""
        sock = flight.sock
        assert sock is not None
        try:
            sent = sock.send(flight.pending)
            if not flight.is_connected:
                flight.is_connected = True
                # A connect to a free port of the ephemeral range may be given that very port as its own end and then
                # meets itself (RFC 9293, simultaneous open): nobody listens there.
                if sock.getsockname()[:2] == flight.address:
                    self._end(flight, REFUSED)
                    return
        except BlockingIOError:
            return
        except OSError as error:
            self._end(flight, outcome_of(error.errno or 0, error.strerror or ""))
            return
        flight.pending = flight.pending[sent:]
        if not flight.pending and flight.conversation.outcome is not None:
            self._end(flight, flight.conversation.outcome)

    def _pull(self, flight: Flight[K]) -> None:
        """Receive what has come, or some of it."""
        sock, conversation = flight.sock, flight.conversation
        assert sock is not None
        try:
            data = sock.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(flight, outcome_of(error.errno or 0, error.strerror or ""))
            return
        if data:
            flight.pending += conversation.receive(data)
        else:
            conversation.end()
        if conversation.outcome is not None:
            if flight.pending:
                with suppress(OSError):  # its last words: the outcome stands, whether they arrive or not
                    sock.send(flight.pending)
            self._end(flight, conversation.outcome)
        elif flight.pending:
            self._push(flight)

    def _end(self, flight: Flight[K], outcome: Outcome) -> None:
        flight.outcome = outcome
        self.stop(flight)
        self._ended.append(flight)
