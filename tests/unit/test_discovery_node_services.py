"""What changed on the nodes since they were last asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

import pytest
import trio
import trio.testing

from discovery.consul_sd.client import ConsulClient, Reply
from discovery.consul_sd.decode import DecodeError
from discovery.consul_sd.errors import Unreachable
from discovery.consul_sd.node_services import PAUSE, NodeServices, decode_node

Nodes = dict[str, dict[str, tuple[str, int]]]  # by node and service id: the service, and its ModifyIndex


class FakeConsul:
    """Answers what `nodes` say now, with `index`."""

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes
        self.index = 1
        self.is_away = False
        self.takes = 0.0  # seconds, to answer

    async def node(self, name: str) -> Reply:
        if self.is_away:
            raise Unreachable("away")
        await trio.sleep(self.takes)
        services = {
            id_: {"ID": id_, "Service": service, "ModifyIndex": index}
            for id_, (service, index) in self.nodes.get(name, {}).items()
        }
        node = {"Node": {"Node": name}, "Services": services} if name in self.nodes else None
        return Reply(self.index, json.dumps(node).encode())

    async def changes(self, known: NodeServices) -> Mapping[str, int] | None:
        return await known.changes(cast("ConsulClient", self), list(self.nodes))


@pytest.fixture
def consul() -> FakeConsul:
    return FakeConsul({"n1": {"web-1": ("web", 3), "db-1": ("db", 4)}, "n2": {"web-2": ("web", 5)}})


async def test_the_first_time_nothing_can_be_said(consul: FakeConsul) -> None:
    known = NodeServices()
    assert await consul.changes(known) is None
    assert await consul.changes(known) == {}
    known.forget()
    assert await consul.changes(known) is None


@pytest.mark.parametrize(
    ("after", "services"),
    [
        ({"n1": {"web-1": ("web", 9), "db-1": ("db", 4)}, "n2": {"web-2": ("web", 5)}}, {"web": 9}),
        ({"n1": {"db-1": ("db", 4)}, "n2": {"web-2": ("web", 5)}}, {"web": 20}),
        ({"n1": {"web-1": ("web", 3), "db-1": ("db", 4), "mq": ("mq", 8)}, "n2": {"web-2": ("web", 5)}}, {"mq": 8}),
        ({"n1": {"web-1": ("db", 7), "db-1": ("db", 4)}, "n2": {"web-2": ("web", 5)}}, {"db": 7, "web": 20}),
        ({"n1": {"web-1": ("web", 3), "db-1": ("db", 4)}}, {"web": 20}),
        ({"n1": {}, "n2": {"web-2": ("web", 5)}}, {"web": 20, "db": 20}),
        ({"n3": {"web-3": ("web", 6)}, "n1": {"web-1": ("web", 3), "db-1": ("db", 4)}, "n2": {}}, {"web": 20}),
    ],
)
async def test_what_came_went_or_changed_names_its_service(
    consul: FakeConsul, after: Nodes, services: Mapping[str, int]
) -> None:
    known = NodeServices()
    await consul.changes(known)
    consul.nodes, consul.index = after, 20
    assert await consul.changes(known) == services
    assert await consul.changes(known) == {}


async def test_what_a_failure_kept_from_being_found_is_found_the_next_time(consul: FakeConsul) -> None:
    known = NodeServices()
    await consul.changes(known)
    consul.nodes["n1"]["web-1"] = ("web", 9)
    consul.is_away = True
    with pytest.raises(Unreachable):
        await consul.changes(known)
    consul.is_away = False
    assert await consul.changes(known) == {"web": 9}


def test_what_is_not_consuls_is_refused() -> None:
    assert decode_node(b"null") == {}
    for data in (b"", b"<html>", b"[1]", b'{"Services": [1]}', b'{"Services": {"a": {"Service": "a"}}}'):
        with pytest.raises(DecodeError):
            decode_node(data)


async def test_there_is_a_pause_after_every_question_but_not_the_first_time(
    consul: FakeConsul, autojump_clock: trio.testing.MockClock
) -> None:
    known, consul.takes = NodeServices(), 0.01
    began = trio.current_time()
    await consul.changes(known)
    assert trio.current_time() - began == pytest.approx(2 * 0.01)
    began = trio.current_time()
    await consul.changes(known)
    assert trio.current_time() - began == pytest.approx(2 * 0.01 * (1 + PAUSE))


async def test_to_forget_while_it_asks_is_to_begin_anew(
    consul: FakeConsul, autojump_clock: trio.testing.MockClock
) -> None:
    known, consul.takes = NodeServices(), 0.01
    await consul.changes(known)
    found: list[Mapping[str, int] | None] = []

    async def ask() -> None:
        found.append(await consul.changes(known))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.sleep(0.005)
        known.forget()
    assert found == [None]
    assert await consul.changes(known) is None
    assert await consul.changes(known) == {}
