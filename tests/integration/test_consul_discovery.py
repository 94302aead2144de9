"""A real Consul: what is registered, changed and removed there reaches the gateway as answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest
import trio

from discovery.consul_sd import service as service_module
from discovery.consul_sd.client import WAIT
from discovery.consul_sd.source import BUDGET, ConsulSource
from discovery.model import Instance, Standing
from discovery.settings import ConsulSettings
from discovery.source import Answer, Event, KeyAnswer, SourceProblems, SourceState, TaggedService
from tests.consul import ConsulServer

WITHIN = 10.0  # seconds for anything to be seen
T = TypeVar("T")


class Seen:
    """What a source has emitted, and the latest of each kind."""

    def __init__(self, source: ConsulSource) -> None:
        self.source = source
        self.events: list[Event] = []
        self.answers: dict[str, tuple[Instance, ...]] = {}
        self.tags: dict[str, TaggedService] = {}
        self.keys: list[tuple[str, bytes]] | None = None
        self.problems: list[str] = []
        self.state: SourceState | None = None
        self._news = trio.Event()

    def emit(self, event: Event) -> None:
        self.events.append(event)
        match event:
            case Answer():
                self.answers[event.service] = event.instances
            case TaggedService():
                self.tags[event.service] = event
            case KeyAnswer():
                self.keys = list(event.entries)
            case SourceProblems():
                self.problems = [each.message for each in event.problems]
            case SourceState():
                self.state = event
        self._news.set()
        self._news = trio.Event()

    async def wait_until(self, claim: Callable[[], bool], within: float = WITHIN) -> None:
        """Returns once the claim holds; looks at every event."""
        with trio.move_on_after(within):
            while not claim():
                await self._news.wait()
            return
        pytest.fail(f"not within {within} s; seen: {self.answers} {self.tags} {self.state} {self.problems}")

    async def wait_for(self, service: str, read: Callable[[Instance], T], *expected: T) -> None:
        """Returns once `read` of the instances gives what is expected, in any order."""
        await self.wait_until(
            lambda: sorted(map(repr, map(read, self.answers.get(service, ())))) == sorted(map(repr, expected))
        )

    def routes(self, service: str) -> list[str]:
        return [route.host + route.path for route in self.tags[service].routes] if service in self.tags else []


@asynccontextmanager
async def watched(
    consul: ConsulServer,
    *services: str,
    watch_tags: bool = True,
    watch_keys: bool = False,
    grace: float = 30.0,
    token: str = "",
    budget: int = BUDGET,
    wait: float = WAIT,
) -> AsyncIterator[Seen]:
    settings = ConsulSettings(address=consul.address, removal_grace=grace, token=token)
    source = ConsulSource(settings, frozenset(services), watch_tags, watch_keys=watch_keys, budget=budget, wait=wait)
    seen = Seen(source)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(source.run, seen.emit)
        yield seen
        nursery.cancel_scope.cancel()


@pytest.fixture(scope="module")
def shared() -> Iterator[ConsulServer]:
    with ConsulServer() as server:
        yield server


@pytest.fixture
def consul(shared: ConsulServer) -> Iterator[ConsulServer]:
    """The module's Consul, cleaned after each test."""
    yield shared
    shared.maintain_node(enable=False)
    for service_id in shared.get("/v1/agent/services"):
        shared.deregister(service_id)


def address(instance: Instance) -> str:
    return instance.address


def standing(instance: Instance) -> Standing:
    return instance.standing


def detail(instance: Instance) -> str:
    return instance.detail


async def test_registered_instances_are_an_answer_and_a_deregistered_one_is_out_at_once(consul: ConsulServer) -> None:
    for port in (9001, 9002, 9003):
        consul.register("web", port, weight=port - 9000)
    async with watched(consul, "web") as seen:
        await seen.wait_for("web", lambda each: (each.address, each.weight, each.id), *(
            (f"127.0.0.1:{port}", port - 9000, f"web-{port}") for port in (9001, 9002, 9003)
        ))  # fmt: skip
        await seen.wait_until(lambda: seen.state is not None)
        assert seen.state is not None
        assert not seen.state.stale
        consul.deregister("web-9002")
        await seen.wait_for("web", address, "127.0.0.1:9001", "127.0.0.1:9003")
        assert not any(each.provisional for each in seen.answers["web"])
        consul.register("web", 9004)
        await seen.wait_for("web", address, "127.0.0.1:9001", "127.0.0.1:9003", "127.0.0.1:9004")


async def test_weights_and_checks_are_followed(consul: ConsulServer) -> None:
    check = {"TTL": "1h", "Status": "passing"}
    consul.register("web", 9001, weight=5, warning_weight=2, check=check)
    async with watched(consul, "web") as seen:
        await seen.wait_for("web", lambda each: each.weight, 5)
        consul.register("web", 9001, weight=7, warning_weight=2, check=check)
        await seen.wait_for("web", lambda each: each.weight, 7)
        consul.set_check("web-9001", "warning", "slow")
        await seen.wait_for("web", lambda each: (each.standing, each.weight), (Standing.WARNING, 2))
        consul.set_check("web-9001", "critical", "broken")
        await seen.wait_for("web", standing, Standing.CRITICAL)
        assert seen.answers["web"][0].detail == "check 'Service 'web' check' is critical: broken"
        consul.set_check("web-9001", "passing")
        await seen.wait_for("web", standing, Standing.PASSING)


async def test_maintenance_of_service_and_node(consul: ConsulServer) -> None:
    consul.register("web", 9001)
    consul.register("web", 9002)
    async with watched(consul, "web") as seen:
        consul.maintain("web-9001", reason="disk")
        await seen.wait_for("web", detail, "service is in maintenance: disk", "")
        consul.maintain("web-9001", enable=False)
        consul.maintain_node(reason="kernel")
        await seen.wait_for("web", detail, *["node test is in maintenance: kernel"] * 2)
        assert {each.standing for each in seen.answers["web"]} == {Standing.MAINTENANCE}
        consul.maintain_node(enable=False)
        await seen.wait_for("web", standing, Standing.PASSING, Standing.PASSING)


async def test_an_instance_without_address_has_its_nodes_and_a_name_is_resolved(consul: ConsulServer) -> None:
    consul.register("bare", 9001, address="")
    consul.register("named", 9001, address="localhost")
    async with watched(consul, "bare", "named") as seen:
        await seen.wait_for("bare", address, "127.0.0.1:9001")
        await seen.wait_until(lambda: "127.0.0.1:9001" in map(address, seen.answers.get("named", ())))
        assert {each.name for each in seen.answers["named"]} == {"localhost"}


async def test_routes_appear_change_and_vanish_with_the_tags(consul: ConsulServer) -> None:
    async with watched(consul) as seen:
        consul.register("web", 9001, tags=["gw.path=/web/*", "gw.balance=weighted"])
        await seen.wait_until(lambda: seen.routes("web") == ["/web/*"])
        assert seen.tags["web"].options == (("balance", "weighted"),)
        await seen.wait_for("web", address, "127.0.0.1:9001")
        consul.register("web", 9001, tags=["urlprefix-example.com/new", "gw.surprise=1"])
        await seen.wait_until(lambda: seen.routes("web") == ["example.com/new**"])
        (problem,) = seen.tags["web"].problems
        assert problem.origin.detail == "service web, instance web-9001, tag gw.surprise=1"
        consul.register("web", 9001, tags=["unrelated"])
        await seen.wait_until(lambda: seen.tags["web"] == TaggedService("consul", "web", (), (), ()))
        await seen.wait_for("web", address)


async def test_tags_are_left_alone_where_nobody_wants_them(consul: ConsulServer) -> None:
    consul.register("web", 9001, tags=["gw.path=/web/*"])
    consul.register("other", 9002, tags=["gw.path=/other/*"])
    async with watched(consul, "web", watch_tags=False) as seen:
        await seen.wait_for("web", address, "127.0.0.1:9001")
        assert not seen.tags
        assert "other" not in seen.answers


async def test_routes_of_a_service_gone_altogether_are_kept_for_a_while(
    consul: ConsulServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "ROUTES_KEPT", 0.5)
    consul.register("web", 9001, tags=["gw.path=/web/*"])
    async with watched(consul) as seen:
        await seen.wait_until(lambda: seen.routes("web") == ["/web/*"])
        consul.deregister("web-9001")
        gone = trio.current_time()
        await seen.wait_for("web", address)
        assert seen.routes("web") == ["/web/*"]
        await seen.wait_until(lambda: seen.routes("web") == [])
        assert trio.current_time() - gone >= 0.5
        consul.register("web", 9001, tags=["gw.path=/web/*"])  # and it may come back
        await seen.wait_until(lambda: seen.routes("web") == ["/web/*"])
        await seen.wait_for("web", address, "127.0.0.1:9001")


async def test_an_update_keeps_the_watches_that_stay_wanted(consul: ConsulServer) -> None:
    consul.register("a", 9001)
    consul.register("b", 9002)
    async with watched(consul, "a", watch_tags=False) as seen:
        await seen.wait_for("a", address, "127.0.0.1:9001")
        before = len(seen.events)
        seen.source.update(frozenset({"a", "b"}))
        await seen.wait_for("b", address, "127.0.0.1:9002")
        assert [each.service for each in seen.events[before:] if isinstance(each, Answer)] == ["b"]
        seen.source.update(frozenset({"b"}))
        await seen.wait_for("a", address)
        consul.register("b", 9003)
        await seen.wait_for("b", address, "127.0.0.1:9002", "127.0.0.1:9003")


async def test_a_service_that_nobody_registered_is_an_empty_answer(consul: ConsulServer) -> None:
    async with watched(consul, "nobody") as seen:
        await seen.wait_until(lambda: seen.state is not None)
        assert seen.answers == {"nobody": ()}
        assert seen.state is not None
        assert not seen.state.stale
