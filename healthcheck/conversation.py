"""What is said on the connection of a probe, apart from the connection: bytes in, bytes out, and an outcome is left.

A conversation is a sans-IO machine for one exchange on one fresh connection. `healthcheck.wire` gives it what arrives
and sends what it answers; time limits are the agent's. So every kind of probe is tested without a socket, and TLS is a
conversation around another one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol


class Kind(Enum):
    """What an outcome is worth."""

    ANSWER = auto()  # the instance said so itself: counts, and how long it took is told
    REFUSAL = auto()  # its machine, the network or its certificate said no: counts
    BREAK = auto()  # silence, or the connection broke: counts, unless this process was late itself
    NOT_SENT = auto()  # this machine could not ask: says nothing of the instance


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a probe ended, in plain words: "200", "connection refused"."""

    ok: bool
    text: str
    kind: Kind
    note: str = ""  # what follows the time of an answer: ", but its body lacks 'ok'"

    def detail(self, seconds: float) -> str:
        """The whole sentence: "503 in 12 ms"."""
        return f"{self.text} in {seconds * 1000.0:.0f} ms{self.note}" if self.kind is Kind.ANSWER else self.text


class Conversation(Protocol):
    """One exchange. Once `outcome` is set nothing more is asked of it, and its connection is closed."""

    outcome: Outcome | None

    def open(self) -> bytes:
        """What is sent first, once connected; may be nothing."""
        ...

    def receive(self, data: bytes) -> bytes:
        """What the instance sent (never empty); returns what is to be sent now."""
        ...

    def end(self) -> None:
        """The instance has closed its side: leaves an outcome."""
        ...


class Impossible(Exception):
    """A probe that cannot be asked, whoever is at fault: counts as a failure, with this text as its detail."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What is asked of one target, and where. `converse` raises Impossible."""

    family: int  # of the address, as the socket module names it
    address: tuple[str, int]
    converse: Callable[[], Conversation]
