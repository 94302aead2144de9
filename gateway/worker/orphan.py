"""A worker whose supervisor is gone: what it offers to a new gateway, and what it says of itself.

It serves on for a short grace, and during that time its listening sockets can be taken over, with the connections
queued on them, at a name of its own (`gateway.handover.sockets`). Nobody reads its control socket any more, so what
it has to say goes to standard error.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from gateway.handover import sockets
from gateway.handover.messages import Description, HandoverError, Kind, Listening
from gateway.handover.session import Session
from gateway.worker.loop import Loop

ORPHAN_GRACE: Final = 10.0  # seconds that a worker serves on after its supervisor is gone, before it drains
TAKEOVER_WITHIN: Final = 90.0  # seconds that it serves on for a new gateway that has its sockets to become ready


class Orphan:
    """A handler for the loop: answers those who would take over. Implements `gateway.handover.session.Offer`."""

    def __init__(
        self,
        loop: Loop,
        name: str,
        listening: Sequence[socket.socket],
        fellows: int,
        *,
        serve_for: Callable[[float], None],
        on_ready: Callable[[], None],
        say: Callable[..., None],
    ) -> None:
        """`serve_for` says how many seconds more it serves unless told otherwise, `on_ready` that somebody else does.

        `say` is given a line for the log. Raises OSError: the name cannot be had.
        """
        self._loop = loop
        self._sock = sockets.listen(name)
        self._by_address: dict[str, list[socket.socket]] = {}
        for sock in listening:
            host, port = sock.getsockname()[:2]
            self._by_address.setdefault(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", []).append(sock)
        self._fellows = fellows
        self._serve_for = serve_for
        self._on_ready = on_ready
        self._say = say
        self._holders = 0  # who have its sockets and get ready
        self.fd = self._sock.fileno()
        loop.register(self, select.EPOLLIN)

    def on_event(self, mask: int) -> None:
        """Somebody calls."""
        try:
            sock, _ = self._sock.accept()
        except OSError:
            return  # gone again
        sock.setblocking(False)
        try:
            _Caller(self._loop, Session(sock, self))
        except HandoverError as error:
            self._say("warning", "somebody else may not take this worker's place", error=str(error))

    def close(self) -> None:
        """Nobody is answered any more."""
        self._loop.discard(self, self._sock)

    # --- as an Offer ----------------------------------------------------------------------------------
    def describe(self) -> Description:
        listeners = tuple(Listening("", address, len(socks)) for address, socks in self._by_address.items())
        return Description(Kind.ORPHAN, os.getpid(), "", None, listeners, self._fellows)

    def sockets(self) -> Sequence[int]:
        return [sock.fileno() for socks in self._by_address.values() for sock in socks]

    def state(self) -> bytes:
        return b""

    def on_taken(self, pid: int) -> None:
        self._holders += 1
        self._serve_for(TAKEOVER_WITHIN)

    def on_ready(self, pid: int, fields: dict[str, Any]) -> None:
        self._say("info", "a new gateway has taken over, draining", successor_pid=pid)
        self._on_ready()

    def on_abandoned(self, pid: int) -> None:
        self._say("warning", "the new gateway ended before it was ready", successor_pid=pid, seconds=ORPHAN_GRACE)
        self._holders -= 1
        if not self._holders:
            self._serve_for(ORPHAN_GRACE)


class _Caller:
    """A handler for the loop: one who would take over."""

    def __init__(self, loop: Loop, session: Session) -> None:
        self._loop = loop
        self._session = session
        self.fd = session.sock.fileno()
        loop.register(self, select.EPOLLIN)

    def on_event(self, mask: int) -> None:
        """It asks, or is gone."""
        if not self._session.on_readable():
            self._loop.unregister(self)
            self._session.close()


def say(worker: int, form: str, level: str, event: str, **fields: object) -> None:
    """A line to standard error, in the form of the supervisor's log: JSON, or for people if `form` is "console"."""
    time = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    more = {"worker": worker, **fields}
    if form != "console":
        line = json.dumps({"time": time, "level": level, "role": "worker", "pid": os.getpid(), "event": event, **more})
    else:
        line = f"{time} [{level}] {event} role=worker pid={os.getpid()} " + " ".join(
            f"{k}={v}" for k, v in more.items()
        )
    with contextlib.suppress(OSError, ValueError):  # nobody listens there either
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
