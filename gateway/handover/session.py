"""The side that is replaced: answers one successor. It never waits, so that any loop can drive it."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Sequence
from typing import Any, Protocol

from gateway.handover.messages import (
    Ask,
    Description,
    HandoverError,
    decode_ask,
    encode_answer,
    encode_description,
    encode_refusal,
)
from gateway.handover.sockets import batches, check_peer, receive, send, store


class Offer(Protocol):
    """What may be taken over, and who is told of it."""

    def describe(self) -> Description: ...

    def sockets(self) -> Sequence[int]:
        """The descriptors that go with the description, but for that of the state."""
        ...

    def state(self) -> bytes:
        """What a successor should know."""
        ...

    def on_taken(self, pid: int) -> None:
        """Somebody has the sockets, and gets ready."""
        ...

    def on_ready(self, pid: int, fields: dict[str, Any]) -> None:
        """The successor serves: take no more connections, and drain."""
        ...

    def on_abandoned(self, pid: int) -> None:
        """Whoever had the sockets has gone without being ready."""
        ...


class Session:
    """One connection of a successor."""

    def __init__(self, sock: socket.socket, offer: Offer) -> None:
        """`sock` does not block, and is closed by `close`. Raises HandoverError if it is another user's."""
        self.sock = sock
        self._offer = offer
        self._has_taken = False
        try:
            self.pid = check_peer(sock)
        except HandoverError as error:
            with contextlib.suppress(OSError):  # it may not listen any more
                send(sock, encode_refusal(str(error)))
            sock.close()
            raise

    def close(self) -> None:
        """The connection is over."""
        self.sock.close()
        if self._has_taken:
            self._has_taken = False
            self._offer.on_abandoned(self.pid)

    def on_readable(self) -> bool:
        """Answer what was asked; False if the connection is over."""
        try:
            packet, strangers = receive(self.sock)
            for fd in strangers:  # nobody is asked for any
                os.close(fd)
            if not packet:
                return False
            self._answer(*decode_ask(packet))
        except BlockingIOError:
            return True
        except HandoverError as error:
            with contextlib.suppress(OSError):  # as above
                send(self.sock, encode_refusal(str(error)))
            return False
        except OSError:
            return False
        return True

    def _answer(self, ask: Ask, fields: dict[str, Any]) -> None:
        offer = self._offer
        if ask is Ask.DESCRIBE:
            send(self.sock, encode_description(offer.describe()))
        elif ask is Ask.TAKE:
            self._give(offer.describe(), offer.sockets())
            self._has_taken = True
            offer.on_taken(self.pid)
        else:
            if not self._has_taken:
                raise HandoverError("who takes nothing replaces nobody")
            state = store(offer.state())
            try:
                send(self.sock, encode_answer(), [state])
            finally:
                os.close(state)
            self._has_taken = False
            offer.on_ready(self.pid, fields)

    def _give(self, description: Description, sockets: Sequence[int]) -> None:
        state = store(self._offer.state())
        try:
            send(self.sock, encode_description(description))
            for packet, descriptors in batches([state, *sockets]):
                send(self.sock, packet, descriptors)
        finally:
            os.close(state)
