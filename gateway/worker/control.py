"""The worker's two wake-ups: the control socket from the supervisor, and the eventfd of the board."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections.abc import Callable
from typing import Final

from gateway.control import MESSAGE_BYTES, MOST_FDS, Tell, decode_message, encode_message
from gateway.worker.loop import Loop

_FIELD_CHARS: Final = 3000  # of one log field: a packet holds no more


class Control:
    """A handler for the loop: what the supervisor says, and that it is gone."""

    def __init__(
        self,
        loop: Loop,
        fd: int,
        on_tell: Callable[[Tell, dict[str, object], list[int]], None],
        on_gone: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._sock = socket.socket(fileno=fd)
        self._sock.setblocking(False)
        self._on_tell = on_tell
        self._on_gone = on_gone
        self.is_gone = False
        self.fd = fd
        loop.register(self, select.EPOLLIN)

    def on_event(self, mask: int) -> None:
        """A packet, or the end."""
        try:
            packet, fds, _, _ = socket.recv_fds(self._sock, MESSAGE_BYTES, MOST_FDS)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if not packet:
            self._loop.unregister(self)
            self.is_gone = True
            self._on_gone()
            return
        self._on_tell(*decode_message(packet), fds)

    def tell(self, tell: Tell, **fields: object) -> None:
        """Say something to the supervisor; dropped when it is gone or does not read."""
        with contextlib.suppress(OSError):  # nobody is left to tell
            self._sock.send(encode_message(tell, **fields))

    def report(self, level: str, event: str, **fields: object) -> None:
        """A line for the supervisor's log."""
        short = {
            name: value if isinstance(value, int | float) else str(value)[-_FIELD_CHARS:]
            for name, value in fields.items()
        }
        self.tell(Tell.LOG, level=level, event=event, fields=short)

    def tell_ejection(self, service: str, address: str, detail: str, is_over: bool) -> None:
        """This worker's ejections in the ledger changed: wakes the supervisor, which passes it on to all."""
        self.tell(Tell.EJECTION, service=service, instance=address, detail=detail[-_FIELD_CHARS:], is_over=is_over)


class Wake:
    """A handler for the loop: the board has a new generation. Reading it is the view's, at the next batch."""

    def __init__(self, loop: Loop, fd: int) -> None:
        self.fd = fd
        os.set_blocking(fd, False)
        loop.register(self, select.EPOLLIN)

    def on_event(self, mask: int) -> None:
        """Reset the eventfd."""
        with contextlib.suppress(BlockingIOError):  # read already
            os.eventfd_read(self.fd)
