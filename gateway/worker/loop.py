"""The worker's event loop: one epoll inside one trio task.

Why not trio's own sockets: a task switch and an epoll_ctl per wait cost 40-70 us of CPU a request, most of
what a whole request costs here. Trio waits for this epoll alone; when it is readable, batches of
events are taken until none is left or the turn's time is over, and trio's other tasks (heartbeat,
signals) get their turn. Within a turn the loop waits in this epoll and not in trio's: the next event of a
worker that is not idle comes before the turn is over, and costs no pass through trio.

What has arrived is read before anything is called too late: of a starved process, answers wait in thousands of
sockets, and none of those connections timed out. Time in which the process did not run at all (stopped, or its machine
suspended) is nobody's: every deadline moves by it. Else whatever was sent just after it, by a clock read before it,
would be late before anybody could answer.

Per batch, not per event: the clocks are read, the board's generation is checked (before any instance
is picked), access log lines and counters are written, due deadlines are called.

A number of a closed socket may be given out again by the kernel while events for its former owner
still wait in the batch. So closed sockets are kept open, out of the table, until the batch ends.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
import traceback
from collections.abc import Callable
from email.utils import formatdate
from typing import Final, Protocol

import trio

from gateway.proxy.context import Context
from gateway.proxy.downstream import Downstream
from gateway.proxy.transport import Connecting, Transport
from gateway.worker.pipes import Pipes
from gateway.worker.wire import Wire

TURN_SECONDS: Final = 0.05  # then trio's other tasks get a turn
_SHORTEST: Final = 0.001  # seconds that epoll can wait
_EVENTS: Final = 512  # per batch
_LONGEST: Final = 0.5  # seconds that it waits at a time, so that
_STANDSTILL: Final = 1.0  # seconds between two looks at the clock are more than any wait and any batch take
_PUT_OFF: Final = 16  # full batches in a row before deadlines are looked at all the same


class Handler(Protocol):
    """Whatever is registered with the loop."""

    @property
    def fd(self) -> int: ...

    def on_event(self, mask: int) -> None: ...


class Loop:
    """See the module. Also the `Network` of the machines."""

    def __init__(self, ctx: Context, on_batch: Callable[[], None], send_spans: Callable[[], None]) -> None:
        self.ctx = ctx
        self.pipes = Pipes()
        self.failed: list[Wire] = []  # wires whose machine has to be told of a failed write
        self.is_stopping = False
        self._on_batch = on_batch  # before the events of each batch: is there a new snapshot?
        self._send_spans = send_spans  # after them, where any request was traced
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._closed: list[tuple[Handler, socket.socket]] = []
        self._date_at = 0
        self._put_off = 0
        self.read_clocks()

    # --- registrations ------------------------------------------------------------------------------

    def register(self, handler: Handler, mask: int) -> None:
        self._handlers[handler.fd] = handler
        self._epoll.register(handler.fd, mask)

    def modify(self, handler: Handler, mask: int) -> None:
        self._epoll.modify(handler.fd, mask)

    def unregister(self, handler: Handler) -> None:
        if self._handlers.pop(handler.fd, None) is not None:
            self._epoll.unregister(handler.fd)

    def discard(self, handler: Handler, sock: socket.socket) -> None:
        """Take a socket out for good; it is closed when the batch ends."""
        self.unregister(handler)
        self._closed.append((handler, sock))

    def wires(self) -> list[Wire]:
        """All connections, both sides."""
        return [handler for handler in self._handlers.values() if isinstance(handler, Wire)]

    def connect(self, host: str, port: int, machine: Connecting) -> Transport:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with contextlib.suppress(BlockingIOError):
                sock.connect((host, port))
        except OSError:
            sock.close()
            raise
        wire = Wire(self, sock, connecting=True)
        wire.attach_connecting(machine)
        return wire

    # --- running ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until `is_stopping`."""
        deadlines = self.ctx.deadlines
        self.read_clocks()
        while not self.is_stopping:
            wait = min(max(0.0, deadlines.next_at() - time.monotonic()), _LONGEST)
            with trio.move_on_after(wait):
                await trio.lowlevel.wait_readable(self._epoll.fileno())
            self.turn()
            await trio.lowlevel.checkpoint()

    def turn(self, seconds: float = TURN_SECONDS) -> None:
        """Take batches, and wait for more of them, until nothing comes any more or the time is over."""
        poll = self._epoll.poll
        ctx = self.ctx
        self._pass_time()
        end = ctx.now + seconds
        events = poll(0, _EVENTS)
        while True:
            self._batch(events)
            if self.is_stopping or not events or ctx.now >= end:
                return
            events = poll(max(_SHORTEST, min(end, ctx.deadlines.next_at()) - ctx.now), _EVENTS)
            self._pass_time()

    def read_clocks(self) -> None:
        ctx = self.ctx
        ctx.now = time.monotonic()
        ctx.wall = wall = time.time()
        if int(wall) != self._date_at:
            self._date_at = int(wall)
            ctx.date = formatdate(wall, usegmt=True).encode()

    def _pass_time(self) -> None:
        before = self.ctx.now
        self.read_clocks()
        if self.ctx.now - before > _STANDSTILL:
            self._on_standstill(self.ctx.now - before)

    def _on_standstill(self, seconds: float) -> None:
        self.ctx.report("warning", "the worker did not run: its timeouts are longer by that", seconds=round(seconds, 1))
        self.ctx.deadlines.postpone(seconds)
        for wire in self.wires():
            if isinstance(wire.machine, Downstream):
                wire.machine.on_standstill(seconds)

    def close(self) -> None:
        """Close every connection at once."""
        for wire in self.wires():
            wire.abort()
        self._close_discarded()
        self.pipes.close()
        self._epoll.close()

    def _batch(self, events: list[tuple[int, int]]) -> None:
        ctx = self.ctx
        handlers = self._handlers
        self._on_batch()
        for fd, mask in events:
            handler = handlers.get(fd)
            if handler is None:  # closed by an earlier event of this batch
                continue
            try:
                if isinstance(handler, Wire):  # nearly always, and then the compiler knows what to call
                    handler.on_event(mask)
                else:
                    handler.on_event(mask)
            except Exception:
                self._crash(handler)
        while self.failed:
            wire = self.failed.pop()
            try:
                wire.tell_failure()
            except Exception:
                self._crash(wire)
        if ctx.deadlines.next_at() <= ctx.now:
            if len(events) == _EVENTS and self._put_off < _PUT_OFF:
                self._put_off += 1
            else:
                self._put_off = 0
                self._expire()
        self._close_discarded()
        ctx.counts.write()
        ctx.stories.write()
        ctx.access.flush()
        if ctx.spans:
            self._send_spans()
        if ctx.draining and not self.wires():
            self.is_stopping = True

    def _expire(self) -> None:
        try:
            self.ctx.deadlines.expire(self.ctx.now)
        except Exception:
            self.ctx.stats.crashes += 1
            self.ctx.report("error", "deadline crashed", traceback=traceback.format_exc(limit=-6))

    def _crash(self, handler: Handler) -> None:
        """A fault in one connection ends that connection, not the worker."""
        ctx = self.ctx
        ctx.stats.crashes += 1
        ctx.report("error", "connection crashed", traceback=traceback.format_exc(limit=-6))
        if isinstance(handler, Wire):
            try:
                handler.machine.crash()
            except Exception:
                ctx.report("error", "closing a crashed connection crashed", traceback=traceback.format_exc(limit=-6))
            if handler.is_open:  # else it is being closed in order, a 500 on its way
                handler.abort()

    def _close_discarded(self) -> None:
        if self._closed:
            for handler, sock in self._closed:
                sock.close()
                if isinstance(handler, Wire):
                    handler.detach()
            self._closed.clear()
