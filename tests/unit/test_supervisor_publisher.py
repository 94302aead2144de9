"""`gateway.supervisor.publisher`: when the board gets a new snapshot, and when it does not."""

from __future__ import annotations

import os
from collections.abc import Mapping

import structlog
import trio
import trio.testing
from structlog.testing import capture_logs

from discovery.model import Instance, Origin, OriginKind, ServiceSpec, StaticTarget
from discovery.settings import HealthSettings
from discovery.source import Answer
from gateway.config.load import load
from gateway.shm import memory
from gateway.shm.board import BoardReader, BoardWriter, board_bytes
from gateway.snapshot.codec import Decoder
from gateway.snapshot.model import Snapshot
from gateway.supervisor.publisher import INTERVAL, Publisher
from gateway.supervisor.registry import Registry
from healthcheck.model import Health, Target, Transition

SETTINGS = load(None, environ={}).worker_settings()
SERVICE = ServiceSpec("web", Origin(OriginKind.FILE, "here"), targets=(StaticTarget("10.0.0.1", 1),))


class Stage:
    """A publisher on a real board, on trio's clock."""

    def __init__(self, *, service: ServiceSpec = SERVICE, slot_bytes: int = 64 * 1024) -> None:
        fd = memory.create("board", board_bytes(slot_bytes))
        map_ = memory.attach(fd, writable=True)
        os.close(fd)
        self.registry = Registry()
        self.woken: list[float] = []
        self.probed: list[Mapping[Target, HealthSettings]] = []
        self.publisher = Publisher(
            self.registry,
            BoardWriter(map_),
            lambda: self.woken.append(trio.current_time()),
            lambda targets, among: self.probed.append(dict(targets)),
            lambda services: None,
            clock_ns=lambda: int(trio.current_time() * 1e9),
        )
        self.board = BoardReader(map_)
        self.registry.apply_config([service], [], SETTINGS)

    def change(self, port: int) -> None:
        self.registry.apply_event(Answer("static", "web", (Instance("10.0.0.1", port),)))
        self.publisher.on_change()

    def shown(self) -> Snapshot:
        read = self.board.read()
        assert read is not None
        return Decoder().decode(read[1])


async def test_the_first_publication_is_what_the_registry_knows(autojump_clock: trio.testing.MockClock) -> None:
    stage = Stage()
    assert stage.publisher.publish()
    assert stage.shown().generation == stage.publisher.generation == 1
    assert not stage.publisher.publish()


async def test_the_first_change_passes_at_once_and_the_next_ones_share_a_publication(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    stage = Stage()
    nursery.start_soon(stage.publisher.run)
    await trio.sleep(1.0)
    start = trio.current_time()
    for port in range(1, 7):
        stage.change(port)
        await trio.sleep(INTERVAL / 4)
    await trio.sleep(1.0)
    assert [round((at - start) / INTERVAL, 3) for at in stage.woken] == [0.0, 1.0, 2.0]
    assert stage.shown().services[0].instances[0].port == 6


async def test_the_changes_of_one_turn_are_one_generation_accepted_when_the_oldest_was(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    stage = Stage()
    stage.publisher.publish()
    await trio.sleep(1.0)
    stage.change(1)
    accepted = trio.current_time()
    await trio.sleep(0.5)
    stage.change(2)
    nursery.start_soon(stage.publisher.run)
    await trio.sleep(1.0)
    assert stage.publisher.generation == 2
    assert stage.shown().accepted_ns == int(accepted * 1e9)


async def test_a_change_that_says_nothing_new_is_not_published_and_delays_nothing(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    stage = Stage()
    nursery.start_soon(stage.publisher.run)
    stage.change(1)
    await trio.sleep(1.0)
    generation = stage.publisher.generation
    stage.publisher.on_change()
    await trio.sleep(1.0)
    assert stage.publisher.generation == generation


async def test_a_snapshot_that_does_not_fit_leaves_the_last_one_in_force(
    autojump_clock: trio.testing.MockClock,
) -> None:
    stage = Stage(slot_bytes=1024)
    stage.publisher.publish()
    many = tuple(Instance("10.0.0.1", port) for port in range(1, 200))
    stage.registry.apply_event(Answer("static", "web", many))
    with structlog.testing.capture_logs() as lines:
        assert not stage.publisher.publish()
    assert [line["log_level"] for line in lines if line["event"] != "instance transition"] == ["error"]
    assert "bytes" in stage.publisher.problems[0].message
    assert stage.shown().generation == stage.publisher.generation == 1
    stage.change(1)
    assert stage.publisher.publish()
    assert stage.publisher.problems == ()
    assert stage.shown().generation == 2


async def test_the_agent_is_told_of_new_targets_only(autojump_clock: trio.testing.MockClock) -> None:
    stage = Stage()
    stage.publisher.publish()
    stage.change(1)
    stage.publisher.publish()
    target = Target("web", "10.0.0.1:1")
    stage.registry.apply_transition(Transition(target, Health.UNKNOWN, Health.HEALTHY, "200", 0.0), 0.0)
    stage.publisher.publish()
    assert stage.probed == [{target: HealthSettings()}]


async def test_slow_start_publishes_as_time_passes(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    slow = ServiceSpec("web", SERVICE.origin, targets=SERVICE.targets, slow_start=10.0)
    stage = Stage(service=slow)
    nursery.start_soon(stage.publisher.run)
    stage.change(1)
    await trio.sleep(1.0)
    target = Target("web", "10.0.0.1:1")
    now = trio.current_time()
    stage.registry.apply_transition(Transition(target, Health.UNKNOWN, Health.HEALTHY, "200", 0.0), now)
    stage.publisher.on_change()
    await trio.sleep(0.5)
    assert stage.shown().services[0].instances[0].weight < 0.2
    await trio.sleep(20.0)
    assert stage.shown().services[0].instances[0].weight == 1.0
    assert len(stage.woken) == 12  # the instance, healthy, then ten steps


async def test_a_publication_that_somebody_asked_for_does_not_cost_the_next_change(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    stage = Stage()
    nursery.start_soon(stage.publisher.run)
    await trio.sleep(1.0)
    stage.registry.apply_event(Answer("static", "web", (Instance("10.0.0.1", 1),)))
    assert stage.publisher.publish()
    stage.change(2)
    await trio.sleep(1.0)
    assert stage.shown().services[0].instances[0].port == 2


async def test_what_became_of_instances_is_told_once(autojump_clock: trio.testing.MockClock) -> None:
    stage = Stage()
    stage.change(1)
    with capture_logs() as lines:
        assert stage.publisher.publish()
        stage.publisher.publish()
    (line,) = lines
    assert (line["event"], line["service"], line["instance"]) == ("instance transition", "web", "10.0.0.1:1")
    assert (line["from"], line["to"], line["who"]) == ("absent", "not_probed", "file")
