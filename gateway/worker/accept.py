"""Accepting connections on one of the worker's listening sockets.

Usually it is the worker's own, and the kernel spreads connections evenly. A socket that all workers share (one
that systemd made) gives them to whoever comes first: with 4 workers 100 connections ended up as 6, 48, 34 and 12,
with EPOLLEXCLUSIVE as 30, 2, 65 and 3. So there a worker takes one at a time, and steps aside for a moment when it is
ahead of the others: 26, 28, 22, 24. If nobody has taken the next connection meanwhile, it goes on without looking.

When open files run out, new connections wait in the queue at first: most shortages are over in a moment, and whoever
waits is served. One that lasts is told to clients as 503, so that they can go elsewhere.
"""

from __future__ import annotations

import errno
import select
import socket
from typing import Final

from gateway.errors import Reason
from gateway.proxy import reply
from gateway.proxy.context import Context
from gateway.proxy.deadlines import Timed
from gateway.proxy.downstream import Downstream
from gateway.shm.layout import L_USED, R_CONNECTIONS, row_word
from gateway.worker.descriptors import Descriptors
from gateway.worker.loop import Loop
from gateway.worker.wire import Wire

_PER_EVENT: Final = 64  # then the connections that are there already get their turn
_QUEUE: Final = 4096  # what Linux lets wait in a listening socket's queue (net.core.somaxconn) unless told otherwise
_UNREAD: Final = 65536  # bytes of a request on a connection that is turned away
_BACK_OFF: Final = 0.1  # seconds without accepting when memory runs out, or not even the descriptor kept back is there
_PATIENCE: Final = 3.0  # seconds of a shortage before clients are turned away
_SAY_EVERY: Final = 10.0  # seconds between reports of a shortage
_AHEAD: Final = 4  # connections more than the others have on average
_ASIDE: Final = 0.01  # seconds in which the others may take what waits in a shared socket
_ALONE: Final = 0.05  # seconds without stepping aside once they did not
_NO_DESCRIPTOR: Final = frozenset((errno.EMFILE, errno.ENFILE))
_NO_MEMORY: Final = frozenset((errno.ENOBUFS, errno.ENOMEM))


class Listener(Timed):
    """A handler for the loop."""

    __slots__ = (
        "_alone_until",
        "_ctx",
        "_descriptors",
        "_is_shared",
        "_loop",
        "_said",
        "_said_at",
        "_short_since",
        "fd",
        "sock",
    )

    def __init__(
        self, loop: Loop, ctx: Context, sock: socket.socket, descriptors: Descriptors, is_shared: bool
    ) -> None:
        super().__init__()
        sock.setblocking(False)
        # Connections inherit it from the socket they are accepted on: one system call less each.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loop = loop
        self._ctx = ctx
        self.sock = sock
        self._descriptors = descriptors
        self._said = ""
        self._said_at = -1e9
        self._short_since = -1.0  # less than 0: there are open files
        self._is_shared = is_shared  # with other workers
        self._alone_until = 0.0
        self.fd = sock.fileno()
        loop.register(self, select.EPOLLIN)

    def on_event(self, mask: int) -> None:
        """Connections wait in the queue."""
        if not self._is_shared:
            self._accept(_PER_EVENT)
        elif self._ctx.now < self._alone_until or not self._is_ahead():
            self._accept(1)
        else:
            self._pause(_ASIDE)

    def _is_ahead(self) -> bool:
        """Does this worker have clearly more connections than the others have?"""
        ctx = self._ctx
        words = ctx.words
        own = ctx.stats.connections
        words[row_word(ctx.row, R_CONNECTIONS)] = own  # as good as the others', which look just now as well
        rows = words[L_USED]
        total = 0
        for row in range(rows):
            total += words[row_word(row, R_CONNECTIONS)]
        return (own - _AHEAD) * rows > total

    def _accept(self, most: int) -> bool:
        """Take what is queued; False if nothing was."""
        found = False
        descriptors = self._descriptors
        descriptors.look(self._ctx.now)
        if self._short_since >= 0.0 and not self._is_long_short() and not descriptors.has_room():
            self._pause(_BACK_OFF)
            return False
        for _ in range(most):
            try:
                sock, address = self.sock.accept()
            except BlockingIOError:
                return found
            except OSError as error:
                if error.errno in _NO_DESCRIPTOR:
                    if not self._is_long_short():
                        self._back_off(error)
                        return found
                    if not self._turn_one_away(error):
                        return found
                elif error.errno in _NO_MEMORY:
                    self._back_off(error)
                    return found
                self._ctx.stats.accept_errors += 1
                continue  # that one connection was gone before it was accepted
            found = True
            sock.setblocking(False)
            number = sock.fileno()
            if number >= descriptors.for_clients:
                descriptors.read()  # it may have been raised just now
            is_short = number >= descriptors.for_clients
            if is_short and self._is_long_short():
                self._refuse(sock)
                self._say("open files run out: new clients are turned away", limit=descriptors.limit)
                continue
            peer: str = address[0]
            # An IPv6 socket that takes IPv4 as well says ::ffff:192.0.2.1.
            self._admit(sock, peer.removeprefix("::ffff:"))
            if is_short:
                self._pause(_BACK_OFF)
                return found
            self._short_since = -1.0
        return found

    def on_deadline(self, now: float) -> None:
        """The pause is over."""
        self._loop.register(self, select.EPOLLIN)
        if self._is_shared and self._accept(1):
            self._alone_until = now + _ALONE

    def close(self) -> None:
        """Take what is queued, then accept no more."""
        self._accept(_QUEUE)
        self._ctx.deadlines.forget(self)
        self._loop.discard(self, self.sock)

    def _admit(self, sock: socket.socket, peer: str) -> None:
        ctx = self._ctx
        if ctx.stats.connections + ctx.stats.closing >= ctx.settings.connections:
            self._refuse(sock)
            return
        wire = Wire(self._loop, sock, connecting=False)
        wire.attach(Downstream(ctx, wire, peer))

    def _refuse(self, sock: socket.socket) -> None:
        ctx = self._ctx
        ctx.stats.connections_refused += 1
        request_id = ctx.ids.next()[:32]
        answer = reply.problem(Reason.CONNECTION_LIMIT, ctx, request_id, head_only=False, close=True)
        try:
            sock.send(answer)
            sock.shutdown(socket.SHUT_WR)
            sock.recv(_UNREAD)  # closed with bytes unread it would be reset, and the answer lost with it
        except OSError:
            pass  # it is being turned away anyhow
        finally:
            sock.close()

    def _turn_one_away(self, error: OSError) -> bool:
        """No descriptor is left: tell one client so, with the one kept back. False: leave the queue alone for now."""
        if not self._descriptors.free():
            self._back_off(error)
            return False
        try:
            sock, _ = self.sock.accept()
        except BlockingIOError:
            self._descriptors.keep()
            return False
        except OSError as again:
            self._back_off(again)
            self._descriptors.keep()
            return False
        sock.setblocking(False)
        self._refuse(sock)
        self._descriptors.keep()
        self._say("no open file is left: new clients are turned away", error=str(error))
        return True

    def _is_long_short(self) -> bool:
        """Open files are short: are they for long?"""
        now = self._ctx.now
        if self._short_since < 0.0:
            self._short_since = now
        return now - self._short_since >= _PATIENCE

    def _back_off(self, error: OSError) -> None:
        self._ctx.stats.accept_errors += 1
        self._say("accepting is paused, for a moment each time", error=str(error), seconds=_BACK_OFF)
        self._pause(_BACK_OFF)

    def _pause(self, seconds: float) -> None:
        self._loop.unregister(self)
        self._ctx.deadlines.arm(self, self._ctx.now + seconds)

    def _say(self, event: str, **fields: object) -> None:
        now = self._ctx.now
        if event != self._said or now >= self._said_at + _SAY_EVERY:
            self._said = event
            self._said_at = now
            self._ctx.report("error", event, **fields)
