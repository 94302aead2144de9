"""`gateway.handover.session` and `sockets`: one successor served over a real socket pair and a real abstract name."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Any

import pytest

from gateway.handover import sockets
from gateway.handover.messages import (
    DESCRIPTORS,
    Ask,
    Description,
    HandoverError,
    Kind,
    Listening,
    decode_answer,
    decode_description,
    encode_ask,
)
from gateway.handover.session import Session


class Recorder:
    """An offer that writes down what happens to it."""

    def __init__(self, listeners: int) -> None:
        self.happened: list[str] = []
        self.is_stopping = False
        self.given = [socket.socket() for _ in range(listeners)]

    def describe(self) -> Description:
        if self.is_stopping:
            raise HandoverError("it is stopping")
        return Description(Kind.SUPERVISOR, 1, "x", None, (Listening("", "127.0.0.1:1", len(self.given)),))

    def sockets(self) -> Sequence[int]:
        return [sock.fileno() for sock in self.given]

    def state(self) -> bytes:
        return b"all it knows"

    def on_taken(self, pid: int) -> None:
        self.happened.append("taken")

    def on_ready(self, pid: int, fields: dict[str, Any]) -> None:
        self.happened.append(f"ready {fields}")

    def on_abandoned(self, pid: int) -> None:
        self.happened.append("abandoned")


class Pair:
    """A session and who calls it."""

    def __init__(self, listeners: int = 1) -> None:
        ours, self.caller = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self.caller.settimeout(5.0)
        self.offer = Recorder(listeners)
        self.session = Session(ours, self.offer)

    def ask(self, ask: Ask, **fields: object) -> bool:
        sockets.send(self.caller, encode_ask(ask, **fields))
        return self.session.on_readable()

    def take(self) -> list[int]:
        assert self.ask(Ask.TAKE)
        packet, none = sockets.receive(self.caller)
        expected, descriptors = decode_description(packet).descriptors, none
        while len(descriptors) < expected:
            descriptors += sockets.receive(self.caller)[1]
        return descriptors

    def close(self) -> None:
        self.caller.close()
        self.session.close()
        for sock in self.offer.given:
            sock.close()


def same(one: int, other: int) -> bool:
    return os.fstat(one).st_ino == os.fstat(other).st_ino


@pytest.mark.parametrize("listeners", [1, DESCRIPTORS - 1, DESCRIPTORS, 2 * DESCRIPTORS + 7])
def test_any_number_of_sockets_arrives_in_order_with_the_state_first(listeners: int) -> None:
    pair = Pair(listeners)
    state, *taken = pair.take()
    assert sockets.load(state) == b"all it knows"
    assert all(same(sock.fileno(), fd) for sock, fd in zip(pair.offer.given, taken, strict=True))
    assert not any(map(os.get_inheritable, taken))
    for fd in taken:
        os.close(fd)
    assert pair.offer.happened == ["taken"]
    pair.close()
    assert pair.offer.happened == ["taken", "abandoned"]


def test_ready_ends_it_and_brings_the_last_state() -> None:
    pair = Pair()
    for fd in pair.take():
        os.close(fd)
    assert pair.ask(Ask.READY, registration=["edge"])
    packet, (state,) = sockets.receive(pair.caller)
    assert (decode_answer(packet), sockets.load(state)) == ({}, b"all it knows")
    pair.close()
    assert pair.offer.happened == ["taken", "ready {'registration': ['edge']}"]


@pytest.mark.parametrize("packet", [encode_ask(Ask.READY), b"hello", b'{"gw": 2, "ask": "take"}'])
def test_what_cannot_be_answered_is_refused_and_changes_nothing(packet: bytes) -> None:
    pair = Pair()
    sockets.send(pair.caller, packet)
    assert not pair.session.on_readable()
    with pytest.raises(HandoverError):
        decode_answer(sockets.receive(pair.caller)[0])
    pair.close()
    assert pair.offer.happened == []


def test_who_is_stopping_says_so() -> None:
    pair = Pair()
    pair.offer.is_stopping = True
    assert not pair.ask(Ask.TAKE)
    with pytest.raises(HandoverError, match="it is stopping"):
        decode_answer(sockets.receive(pair.caller)[0])
    pair.close()


def test_who_only_looks_and_leaves_is_no_news() -> None:
    pair = Pair()
    assert pair.ask(Ask.DESCRIBE)
    pair.caller.close()
    assert not pair.session.on_readable()
    pair.close()
    assert pair.offer.happened == []


def test_a_name_is_found_while_somebody_listens_there_and_no_longer() -> None:
    name = sockets.orphan_name(sockets.new_group(), 3)
    with sockets.listen(name):
        assert name in sockets.find_names()
        with sockets.call(name, 1.0) as caller:
            assert sockets.check_peer(caller) == os.getpid()
    assert name not in sockets.find_names()
    with pytest.raises(ConnectionRefusedError):
        sockets.call(name, 1.0)


def test_names_are_those_of_one_user_and_of_gateways_alone() -> None:
    head = "0000000000000000: 00000002 00000000 00010000 0005 01 12345"
    names = ("@gw/0/1f-ab/supervisor", "@gw/0/1f-ab/orphan/0", "@gw/0/1f-ab/orphan/0", "@gw/5/2e-cd/supervisor")
    others = ("/run/gw/0/1f-ab/supervisor", "@gw/0/1f-ab/else", "@xgw/0/1f-ab/supervisor", "@gw/0/../supervisor")
    table = "Num RefCount Protocol Flags Type St Inode Path\n" + "".join(f"{head} {name}\n" for name in names + others)
    assert sockets.names_in(table, 0) == ("gw/0/1f-ab/orphan/0", "gw/0/1f-ab/supervisor")
    assert sockets.names_in(table, 5) == ("gw/5/2e-cd/supervisor",)
    assert sockets.group_of("gw/0/1f-ab/orphan/0") == "1f-ab"
