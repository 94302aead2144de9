"""DNS as a source: names of a file's instances and SRV records become answers, and follow DNS."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from discovery.dns_sd.resolver import Found, LookupFailed, Resolver, SrvRecord
from discovery.dns_sd.source import DOUBTFUL, DnsSource
from discovery.model import Instance, StaticTarget
from discovery.settings import DnsSettings
from discovery.source import Answer, Event, SourceState

WEB = StaticTarget("web", 80)
SRV = StaticTarget("_x._tcp.test", 0)


class Zone(Resolver):
    """Names that this test knows; None: the question fails."""

    def __init__(self) -> None:
        super().__init__(DnsSettings())
        self.hosts: dict[str, list[str] | None] = {}
        self.srv: list[SrvRecord] = []

    async def addresses(self, name: str) -> Found[str]:
        await trio.lowlevel.checkpoint()
        found = self.hosts.get(name, [])
        if found is None:
            raise LookupFailed("cannot be resolved")
        return Found(tuple(found), 10.0)

    async def services(self, name: str) -> Found[SrvRecord]:
        await trio.lowlevel.checkpoint()
        return Found(tuple(self.srv), 10.0)


@pytest.fixture
def zone() -> Zone:
    return Zone()


@pytest.fixture
def settle(nursery: trio.Nursery) -> Callable[[DnsSource], Awaitable[list[Event]]]:
    """Runs a source; returns the list that its events go to."""

    async def run(source: DnsSource) -> list[Event]:
        events: list[Event] = []
        nursery.start_soon(source.run, events.append)
        await trio.testing.wait_all_tasks_blocked()
        return events

    return run


Settle = Callable[[DnsSource], Awaitable[list[Event]]]


def answers(events: list[Event]) -> list[tuple[str, list[str]]]:
    return [(each.service, [i.address for i in each.instances]) for each in events if isinstance(each, Answer)]


def last_state(events: list[Event]) -> SourceState:
    return next(each for each in reversed(events) if isinstance(each, SourceState))


async def test_without_names_there_is_nothing_to_tell(settle: Settle, zone: Zone) -> None:
    source = DnsSource({"a": (StaticTarget("10.0.0.1", 80), StaticTarget("::1", 80))}, zone)
    assert await settle(source) == []
    assert not source.is_used


async def test_a_name_stands_for_all_its_addresses(settle: Settle, zone: Zone) -> None:
    zone.hosts["web"] = ["10.0.0.2", "fd00::1"]
    events = await settle(DnsSource({"a": (StaticTarget("web", 80, 3),)}, zone, clock=lambda: 7.0))
    assert events == [
        Answer("dns", "a", (Instance("10.0.0.2", 80, 3, name="web"), Instance("fd00::1", 80, 3, name="web"))),
        SourceState("dns", stale=False, stale_since=None, last_success=7.0),
    ]


async def test_while_a_name_fails_its_last_addresses_stay_and_the_source_is_stale(
    settle: Settle, zone: Zone, autojump_clock: MockClock
) -> None:
    zone.hosts["web"] = ["10.0.0.1"]
    events = await settle(DnsSource({"a": (WEB,)}, zone, clock=trio.current_time))
    zone.hosts["web"] = None
    before = trio.current_time()
    await trio.sleep(35)
    state = last_state(events)
    assert state.stale
    assert state.stale_since is not None
    assert 0 < state.stale_since - before <= 11
    assert state.last_success == before
    assert "web: cannot be resolved" in state.error
    assert answers(events) == [("a", ["10.0.0.1:80"])]
    zone.hosts["web"] = ["10.0.0.2"]
    await trio.sleep(10)
    assert last_state(events).stale is False
    assert answers(events)[1:] == [("a", ["10.0.0.2:80"])]


async def test_a_name_that_is_gone_takes_its_instances_along(
    settle: Settle, zone: Zone, autojump_clock: MockClock
) -> None:
    zone.hosts["web"] = ["10.0.0.1"]
    events = await settle(DnsSource({"a": (WEB,)}, zone))
    del zone.hosts["web"]
    await trio.sleep(11)
    assert answers(events) == [("a", ["10.0.0.1:80"]), ("a", [])]
    assert (last_state(events).stale, last_state(events).error) == (False, "web: no such name")


async def test_one_that_is_gone_after_failures_is_provisional(
    settle: Settle, zone: Zone, autojump_clock: MockClock
) -> None:
    zone.hosts["web"] = ["10.0.0.1"]
    events = await settle(DnsSource({"a": (WEB,)}, zone))
    zone.hosts["web"] = None
    await trio.sleep(15)
    del zone.hosts["web"]
    await trio.sleep(10)
    answer = next(each for each in reversed(events) if isinstance(each, Answer))
    assert answer.instances == (Instance("10.0.0.1", 80, detail=DOUBTFUL, name="web", provisional=True),)
    await trio.sleep(30)
    assert answers(events)[-1] == ("a", [])


async def test_a_service_whose_name_was_never_answered_has_no_answer(settle: Settle, zone: Zone) -> None:
    zone.hosts |= {"web": None, "other": ["10.0.0.1"]}
    events = await settle(DnsSource({"a": (WEB,), "b": (StaticTarget("other", 1),)}, zone))
    assert answers(events) == [("b", ["10.0.0.1:1"])]
    assert last_state(events).stale


async def test_an_update_takes_effect_at_once_and_keeps_what_is_resolved(settle: Settle, zone: Zone) -> None:
    zone.hosts |= {"web": ["10.0.0.1"], "other": ["10.0.0.2"]}
    source = DnsSource({"a": (WEB,), "b": (StaticTarget("other", 80),)}, zone)
    events = await settle(source)
    events.clear()
    zone.hosts["web"] = None
    source.update({"a": (WEB, StaticTarget("web", 81))})
    assert answers(events) == [("b", []), ("a", ["10.0.0.1:80", "10.0.0.1:81"])]


async def test_a_new_name_does_not_empty_a_service_while_it_is_looked_up(settle: Settle, zone: Zone) -> None:
    zone.hosts |= {"old": ["10.0.0.1"], "new": ["10.0.0.2"]}
    source = DnsSource({"a": (StaticTarget("old", 80),)}, zone)
    events = await settle(source)
    source.update({"a": (StaticTarget("new", 80),)})
    await trio.testing.wait_all_tasks_blocked()
    assert answers(events) == [("a", ["10.0.0.1:80"]), ("a", ["10.0.0.2:80"])]


async def test_srv_records_bring_ports_and_weights_and_are_followed(
    settle: Settle, zone: Zone, autojump_clock: MockClock
) -> None:
    zone.hosts |= {"n1": ["10.0.0.1"], "n2": ["10.0.0.2", "fd00::2"]}
    zone.srv = [SrvRecord("n1", 8080, 5), SrvRecord("n2", 8081, 1)]
    source = DnsSource({"a": (SRV,)}, zone)
    events = await settle(source)
    answer = next(each for each in reversed(events) if isinstance(each, Answer))
    assert answer.instances == (
        Instance("10.0.0.1", 8080, 5, name="n1"),
        Instance("10.0.0.2", 8081, 1, name="n2"),
        Instance("fd00::2", 8081, 1, name="n2"),
    )
    zone.srv = [SrvRecord("n1", 8080, 2)]
    await trio.sleep(11)
    assert answers(events)[-1] == ("a", ["10.0.0.1:8080"])
    zone.srv = []
    await trio.sleep(11)
    assert answers(events)[-1] == ("a", [])
    assert last_state(events).error == "_x._tcp.test: no such name"
