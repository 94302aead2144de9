"""The running gateway's side of its replacement: where a successor finds it, and what it is given."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import structlog
import trio

from gateway.handover import sockets
from gateway.handover.messages import Description, HandoverError, Kind, Listening
from gateway.handover.session import Session
from gateway.supervisor.listeners import Listeners

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Admin:
    """The admin interface's listening socket."""

    asked: str
    address: str
    sock: socket.socket


class Offering:
    """Implements `gateway.handover.session.Offer`."""

    def __init__(
        self,
        group: str,
        listeners: Listeners,
        admin: Admin,
        *,
        state: Callable[[], bytes],
        is_stopping: Callable[[], bool],
        on_replaced: Callable[[int, dict[str, Any]], None],
    ) -> None:
        """`group`: see `gateway.handover.sockets`. `on_replaced` is told of a successor that serves: its process, and
        what it says."""
        self._name = sockets.supervisor_name(group)
        self._listeners = listeners
        self._admin = admin
        self._state = state
        self._is_stopping = is_stopping
        self._on_replaced = on_replaced
        self._is_replaced = False

    async def run(self) -> None:
        """Answer successors until cancelled."""
        try:
            listener = trio.socket.from_stdlib_socket(sockets.listen(self._name))
        except OSError as error:
            log.warning("this gateway cannot be replaced by `gw up --replace`", error=str(error))
            return
        with listener:
            async with trio.open_nursery() as nursery:
                while True:
                    sock, _ = await listener.accept()
                    nursery.start_soon(self._serve, sock)

    async def _serve(self, accepted: trio.socket.SocketType) -> None:
        sock = socket.socket(fileno=accepted.detach())
        try:
            session = Session(sock, self)
        except HandoverError as error:
            log.warning("somebody else may not replace this gateway", error=str(error))
            return
        try:
            await trio.lowlevel.wait_readable(sock)
            while session.on_readable():
                await trio.lowlevel.wait_readable(sock)
        finally:
            session.close()

    # --- as an Offer -----------------------------------------------------------------------
    def describe(self) -> Description:
        self._check()
        return Description(
            kind=Kind.SUPERVISOR,
            pid=os.getpid(),
            version=version("gw"),
            admin=Listening(self._admin.asked, self._admin.address, 1),
            listeners=tuple(Listening(each.asked, each.address, len(each.sockets)) for each in self._listeners.all),
        )

    def sockets(self) -> Sequence[int]:
        listening = [sock.fileno() for each in self._listeners.all for sock in each.sockets]
        return [self._admin.sock.fileno(), *listening]

    def state(self) -> bytes:
        self._check()
        return self._state()

    def on_taken(self, pid: int) -> None:
        log.info("a new gateway starts beside this one, which serves until the new one does", successor_pid=pid)

    def on_ready(self, pid: int, fields: dict[str, Any]) -> None:
        self._is_replaced = True
        self._on_replaced(pid, fields)

    def on_abandoned(self, pid: int) -> None:
        if not self._is_replaced:
            log.warning("the new gateway ended before it was ready, this one goes on", successor_pid=pid)

    def _check(self) -> None:
        if self._is_stopping():
            raise HandoverError("it is stopping already; start the new gateway once it has ended")
