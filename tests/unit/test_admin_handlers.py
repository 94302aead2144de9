"""What the admin paths answer, without HTTP."""

from __future__ import annotations

import os
from dataclasses import replace

from gateway.admin import handlers
from tests.unit.fake_gateway import FakeFacade


def test_health_is_200_even_when_not_ready() -> None:
    facade = FakeFacade()
    facade.present = replace(facade.present, ready=False, not_ready=("worker 1 is starting",))
    assert handlers.health(facade).status == 200


def test_ready_says_what_is_missing() -> None:
    facade = FakeFacade()
    assert handlers.ready(facade) == handlers.Reply(200, {"ready": True, "reasons": []})
    facade.present = replace(facade.present, ready=False, not_ready=("worker 1 is starting", "consul is silent"))
    reply = handlers.ready(facade)
    assert (reply.status, reply.media_type) == (503, "application/problem+json")
    assert reply.body["reasons"] == ["worker 1 is starting", "consul is silent"]
    assert reply.body["detail"] == "The gateway is not ready: worker 1 is starting; consul is silent."


def test_draining_is_not_ready() -> None:
    facade = FakeFacade()
    facade.down()
    reply = handlers.ready(facade)
    assert (reply.status, reply.body["reason"]) == (503, "draining")
    assert reply.body["reasons"] == ["the gateway is draining"]


def test_status_reads_the_memory_of_real_processes() -> None:
    body = handlers.show_status(FakeFacade()).body
    workers = body["workers"]
    assert isinstance(workers, list)
    assert workers[0]["pid"] == os.getpid()
    assert workers[0]["rss_bytes"] > 1_000_000


async def test_reload_tells_what_needs_a_restart() -> None:
    facade = FakeFacade(needs_restart=("gateway.workers",))
    reply = await handlers.reload(facade)
    assert reply.body == {"reloaded": True, "generation": 42, "needs_restart": ["gateway.workers"]}


async def test_a_refused_reload_tells_every_problem() -> None:
    facade = FakeFacade(reload_problems=("gateway.toml: a is wrong", "gateway.toml: b is wrong"))
    reply = await handlers.reload(facade)
    assert (reply.status, reply.body["reason"]) == (422, "bad_configuration")
    assert reply.body["problems"] == ["gateway.toml: a is wrong", "gateway.toml: b is wrong"]


def test_down_begins_to_drain() -> None:
    facade = FakeFacade()
    assert handlers.down(facade).status == 202
    assert facade.downs == 1
