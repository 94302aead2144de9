"""What the machines need from the world: one connection, and a way to open more.

The worker implements both over sockets; tests implement them over lists of bytes.
"""

from __future__ import annotations

from typing import Protocol


class Transport(Protocol):
    """One connection's outgoing side, seen from a machine."""

    def write(self, data: bytes) -> bool:
        """Send, or keep what cannot be sent now. False: congested, stop producing until `on_drained`."""
        ...

    def relay(self, to: Transport, size: int) -> None:
        """The next `size` bytes received may go to `to` without passing through here.

        A hint: they are told of by `on_relayed` or delivered by `on_data`, in any mixture. Calling it
        again replaces what is left of the last call.
        """
        ...

    def has_moved(self) -> bool:
        """Has the peer taken any of what is kept for it, since the last call or the last `write`?"""
        ...

    def pause(self) -> None:
        """Stop delivering `on_data`. Idempotent."""
        ...

    def resume(self) -> None:
        """Deliver `on_data` again. Idempotent."""
        ...

    def close(self, *, linger: bool = False) -> None:
        """Send what is kept, then close. The machine hears nothing more.

        linger: read and discard for a moment first, so that a peer that is still sending gets to read
        what was written instead of a reset (RFC 9112 9.6).
        """
        ...

    def abort(self) -> None:
        """Close now with a reset, dropping what is kept: the peer must not take the message for complete."""
        ...


class Machine(Protocol):
    """What a connection delivers to. None of these raise into the loop by design; the loop catches faults."""

    def on_data(self, data: bytes) -> None: ...

    def on_relayed(self, size: int, is_congested: bool) -> None:
        """Received and written, where `relay` said; is_congested is of that side, as after a `write`."""
        ...

    def on_eof(self) -> None:
        """The peer sends no more. Told again when reading resumes, until the connection is closed."""
        ...

    def on_drained(self) -> None:
        """All that was kept has been sent; only after a `write` returned False."""
        ...

    def on_lost(self, errno: int) -> None:
        """The connection failed; the transport is closed already."""
        ...

    def crash(self) -> None:
        """Handling an event raised: end what is under way, and the connection with it."""
        ...


class Nobody:
    """The machine of a connection that is closed for good."""

    def on_data(self, data: bytes) -> None: ...

    def on_relayed(self, size: int, is_congested: bool) -> None: ...

    def on_eof(self) -> None: ...

    def on_drained(self) -> None: ...

    def on_lost(self, errno: int) -> None: ...

    def crash(self) -> None: ...


class Connecting(Machine, Protocol):
    """A machine whose connection is being opened."""

    def on_connected(self) -> None: ...

    def on_connect_failed(self, errno: int) -> None: ...


class Network(Protocol):
    """Opens connections."""

    def connect(self, host: str, port: int, machine: Connecting) -> Transport:
        """Begin to connect to an IP address. Raises OSError when that fails at once."""
        ...
