"""What a gateway that starts and one that is replaced say to each other. Pure.

One JSON object per packet of a SOCK_SEQPACKET connection, each with the number of the protocol. The successor asks,
the one that is to be replaced (a supervisor, or a worker whose supervisor is gone) answers:

    describe            -> what it is and listens on
    take                -> the same, then packets with descriptors alone: a memory with its state, the admin
                           interface's listening socket if it has one, the listening sockets address by address
    ready               -> a memory with its state as of the end; it takes no more connections and drains

A connection that ends before `ready` changes nothing. Another protocol is refused with a sentence, in a packet
(`refused`) that every version understands. New fields may be added without a new number: unknown ones are ignored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

PROTOCOL: Final = 1
PACKET_BYTES: Final = 65536
DESCRIPTORS: Final = 200  # in one packet; the kernel takes 253 (SCM_MAX_FD)


class HandoverError(Exception):
    """The handover is not possible; the text is a sentence for a person."""


class Ask(StrEnum):
    """What the successor says."""

    DESCRIBE = "describe"
    TAKE = "take"
    READY = "ready"  # with `registration`, see Supervisor


class Kind(StrEnum):
    """Who is to be replaced."""

    SUPERVISOR = "supervisor"
    ORPHAN = "orphan"  # a worker whose supervisor is gone


@dataclass(frozen=True, slots=True)
class Listening:
    """One address and how many sockets listen on it."""

    asked: str  # as configured; "" if not known
    address: str  # as bound
    sockets: int


@dataclass(frozen=True, slots=True)
class Description:
    """Who is to be replaced, and what it has. Descriptors come in this order, after the one of its state."""

    kind: Kind
    pid: int
    version: str  # of the program
    admin: Listening | None
    listeners: tuple[Listening, ...]
    fellows: int = 1  # orphans of one supervisor, this one and the dead included

    @property
    def descriptors(self) -> int:
        """How many follow an answer to `take`."""
        sockets = sum(each.sockets for each in self.listeners)
        return 1 + sockets + (0 if self.admin is None else 1)


def encode_ask(ask: Ask, **fields: object) -> bytes:
    return _encode({"ask": ask, **fields})


def decode_ask(packet: bytes) -> tuple[Ask, dict[str, Any]]:
    """Raises HandoverError, whose text is the refusal."""
    fields = _decode(packet, "the gateway that is to be replaced", "the one that starts")
    try:
        return Ask(fields.pop("ask")), fields
    except (KeyError, ValueError) as error:
        raise HandoverError(f"not a question of protocol {PROTOCOL}: {packet[:100]!r}") from error


def encode_description(description: Description) -> bytes:
    return _encode(asdict(description))


def decode_description(packet: bytes) -> Description:
    """Raises HandoverError."""
    fields = decode_answer(packet)
    try:
        admin = fields["admin"]
        return Description(
            kind=Kind(fields["kind"]),
            pid=int(fields["pid"]),
            version=str(fields["version"]),
            admin=None if admin is None else _listening(admin),
            listeners=tuple(map(_listening, fields["listeners"])),
            fellows=int(fields["fellows"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise HandoverError(f"it describes itself in a way that is not understood: {packet[:200]!r}") from error


def encode_answer() -> bytes:
    """Goes with descriptors, which are the answer."""
    return _encode({})


def decode_answer(packet: bytes) -> dict[str, Any]:
    """Raises HandoverError, with what the other side says if it refuses."""
    return _decode(packet, "the gateway that starts", "the running one")


def encode_refusal(sentence: str) -> bytes:
    return _encode({"refused": sentence})


def _encode(fields: Mapping[str, object]) -> bytes:
    packet = json.dumps({"gw": PROTOCOL, **fields}).encode()
    if len(packet) > PACKET_BYTES:
        raise HandoverError(f"a packet of {len(packet)} bytes is over {PACKET_BYTES}: too many listen addresses")
    return packet


def _decode(packet: bytes, reader: str, writer: str) -> dict[str, Any]:
    try:
        fields = json.loads(packet)
        protocol = fields.pop("gw")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HandoverError(f"not a message of a gateway: {packet[:100]!r}") from error
    if "refused" in fields:
        raise HandoverError(str(fields["refused"]))
    if protocol != PROTOCOL:
        raise HandoverError(
            f"{reader} speaks version {PROTOCOL} of the handover, {writer} version {protocol}: these two cannot "
            "replace each other without a pause; stop the running one with `gw down`, then start the new one"
        )
    found: dict[str, Any] = fields
    return found


def _listening(fields: Mapping[str, Any]) -> Listening:
    return Listening(str(fields["asked"]), str(fields["address"]), int(fields["sockets"]))
