"""The addresses of a file count at once; names are left to DNS."""

from __future__ import annotations

import trio

from discovery.model import Instance, StaticTarget
from discovery.source import Answer, Event, SourceState
from discovery.static import StaticSource


async def settle(nursery: trio.Nursery, source: StaticSource) -> list[Event]:
    """Runs a source; returns the list that its events go to."""
    events: list[Event] = []
    nursery.start_soon(source.run, events.append)
    await trio.testing.wait_all_tasks_blocked()
    return events


FRESH = SourceState("static", stale=False, stale_since=None, last_success=7.0)


async def test_an_address_counts_at_once_and_needs_no_resolver(nursery: trio.Nursery) -> None:
    targets = {"a": (StaticTarget("10.0.0.1", 80, 3), StaticTarget("::1", 81)), "b": ()}
    events = await settle(nursery, StaticSource(targets, clock=lambda: 7.0))
    assert events == [
        Answer("static", "a", (Instance("10.0.0.1", 80, 3), Instance("::1", 81))),
        Answer("static", "b", ()),
        FRESH,
    ]


async def test_names_are_left_to_dns(nursery: trio.Nursery) -> None:
    targets = {"a": (StaticTarget("web", 80), StaticTarget("10.0.0.1", 80), StaticTarget("10.0.0.1", 80, 5))}
    events = await settle(nursery, StaticSource(targets, clock=lambda: 7.0))
    assert events == [Answer("static", "a", (Instance("10.0.0.1", 80),)), FRESH]


async def test_an_update_takes_effect_at_once_and_says_what_changed(nursery: trio.Nursery) -> None:
    one, two = (StaticTarget("10.0.0.1", 80),), (StaticTarget("10.0.0.2", 80),)
    source = StaticSource({"a": one, "b": one, "c": one}, clock=lambda: 7.0)
    events = await settle(nursery, source)
    events.clear()
    source.update({"a": one, "b": two})
    assert events == [Answer("static", "c", ()), Answer("static", "b", (Instance("10.0.0.2", 80),)), FRESH]
