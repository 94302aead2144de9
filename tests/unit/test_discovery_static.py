"""The instances of a file: addresses at once, names as soon and as long as they resolve."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock

from discovery.model import Instance, StaticTarget
from discovery.source import Answer, Event, SourceState
from discovery.static import StaticSource


class Resolver(trio.abc.HostnameResolver):
    """Names that this test knows; any other cannot be resolved."""

    def __init__(self, **names: list[str]) -> None:
        self.names = names

    async def getaddrinfo(  # type: ignore[override]  # the types of the base are wider than what is needed
        self,
        host: bytes,  # trio passes it on in its IDNA form
        port: object,
        family: int = 0,
        type: int = 0,  # noqa: A002
        proto: int = 0,
        flags: int = 0,
    ) -> Sequence[tuple[int, int, int, str, tuple[str, int]]]:
        await trio.lowlevel.checkpoint()
        if host.decode() not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "unknown name")
        return [(0, type, 0, "", (address, 0)) for address in self.names[host.decode()]]

    async def getnameinfo(self, sockaddr: object, flags: int) -> tuple[str, str]:
        raise AssertionError("nothing asks for names of addresses")


@pytest.fixture
async def resolver() -> Resolver:
    known = Resolver()
    trio.socket.set_custom_hostname_resolver(known)
    return known


async def settle(nursery: trio.Nursery, source: StaticSource) -> list[Event]:
    """Runs a source; returns the list that its events go to."""
    events: list[Event] = []
    nursery.start_soon(source.run, events.append)
    await trio.testing.wait_all_tasks_blocked()
    return events


def answers(events: list[Event]) -> list[tuple[str, list[str]]]:
    return [(each.service, [i.address for i in each.instances]) for each in events if isinstance(each, Answer)]


def last_state(events: list[Event]) -> SourceState:
    return next(each for each in reversed(events) if isinstance(each, SourceState))


async def test_an_address_counts_at_once_and_needs_no_resolver(nursery: trio.Nursery) -> None:
    targets = {"a": (StaticTarget("10.0.0.1", 80, 3), StaticTarget("::1", 81)), "b": ()}
    events = await settle(nursery, StaticSource(targets, clock=lambda: 7.0))
    assert events == [
        Answer("static", "a", (Instance("10.0.0.1", 80, 3), Instance("::1", 81))),
        Answer("static", "b", ()),
        SourceState("static", stale=False, stale_since=None, last_success=7.0),
    ]


async def test_a_name_stands_for_all_its_addresses_in_order_each_once(
    nursery: trio.Nursery, autojump_clock: MockClock, resolver: Resolver
) -> None:
    resolver.names["web"] = ["10.0.0.2", "fd00::1", "10.0.0.2", "10.0.0.1"]
    events = await settle(nursery, StaticSource({"a": (StaticTarget("web", 80),)}))
    (answer,) = [each for each in events if isinstance(each, Answer)]
    assert [each.host for each in answer.instances] == ["10.0.0.2", "fd00::1", "10.0.0.1"]
    assert {each.name for each in answer.instances} == {"web"}
    assert not last_state(events).stale


async def test_a_name_is_resolved_again_and_another_order_is_no_change(
    nursery: trio.Nursery, autojump_clock: MockClock, resolver: Resolver
) -> None:
    resolver.names["web"] = ["10.0.0.1", "10.0.0.2"]
    events = await settle(nursery, StaticSource({"a": (StaticTarget("web", 80),)}))
    resolver.names["web"] = ["10.0.0.2", "10.0.0.1"]
    await trio.sleep(11)
    assert answers(events) == [("a", ["10.0.0.1:80", "10.0.0.2:80"])]
    resolver.names["web"] = ["10.0.0.3"]
    await trio.sleep(10)
    assert answers(events)[1:] == [("a", ["10.0.0.3:80"])]


async def test_while_a_name_fails_its_last_addresses_stay_and_the_source_is_stale(
    nursery: trio.Nursery, autojump_clock: MockClock, resolver: Resolver
) -> None:
    resolver.names["web"] = ["10.0.0.1"]
    events = await settle(nursery, StaticSource({"a": (StaticTarget("web", 80),)}, clock=trio.current_time))
    del resolver.names["web"]
    before = trio.current_time()
    await trio.sleep(35)
    state = last_state(events)
    assert state.stale
    assert state.stale_since is not None
    assert 0 < state.stale_since - before <= 11
    assert state.last_success == before
    assert "web: cannot be resolved: unknown name" in state.error
    assert answers(events) == [("a", ["10.0.0.1:80"])]
    resolver.names["web"] = ["10.0.0.1"]
    await trio.sleep(10)
    assert last_state(events).stale is False


async def test_a_service_whose_name_was_never_resolved_has_no_answer(
    nursery: trio.Nursery, autojump_clock: MockClock, resolver: Resolver
) -> None:
    events = await settle(nursery, StaticSource({"a": (StaticTarget("web", 80),), "b": (StaticTarget("10.0.0.1", 1),)}))
    assert answers(events) == [("b", ["10.0.0.1:1"])]
    assert last_state(events).stale


async def test_an_update_takes_effect_at_once_and_keeps_what_is_resolved(
    nursery: trio.Nursery, autojump_clock: MockClock, resolver: Resolver
) -> None:
    resolver.names["web"] = ["10.0.0.1"]
    source = StaticSource({"a": (StaticTarget("web", 80),), "b": (StaticTarget("10.0.0.9", 1),)})
    events = await settle(nursery, source)
    del resolver.names["web"]
    events.clear()
    source.update({"a": (StaticTarget("web", 80), StaticTarget("10.0.0.2", 80))})
    assert answers(events) == [("b", []), ("a", ["10.0.0.1:80", "10.0.0.2:80"])]


async def test_a_new_name_does_not_empty_a_service_while_it_is_looked_up(
    nursery: trio.Nursery, autojump_clock: MockClock, resolver: Resolver
) -> None:
    resolver.names |= {"old": ["10.0.0.1"], "new": ["10.0.0.2"]}
    source = StaticSource({"a": (StaticTarget("old", 80),)})
    events = await settle(nursery, source)
    source.update({"a": (StaticTarget("new", 80),)})
    await trio.testing.wait_all_tasks_blocked()
    assert answers(events) == [("a", ["10.0.0.1:80"]), ("a", ["10.0.0.2:80"])]


async def test_two_targets_with_one_address_are_one_instance(nursery: trio.Nursery, resolver: Resolver) -> None:
    resolver.names["web"] = ["10.0.0.1"]
    targets = {"a": (StaticTarget("10.0.0.1", 80, 5), StaticTarget("web", 80))}
    events = await settle(nursery, StaticSource(targets))
    assert answers(events) == [("a", ["10.0.0.1:80"])]
