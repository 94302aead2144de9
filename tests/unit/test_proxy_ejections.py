"""An ejection in one worker: what it tells, what ends it, and what it makes of other workers' ejections."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.shm.layout import I_EJECTED_UNTIL_NS, I_EJECTION_COUNT, I_EJECTIONS, instance_word
from gateway.snapshot.model import InstanceRecord, ServiceRecord, Standby
from tests.proxy_harness import ROUTE, World, instance, service
from tests.proxy_messages import GET, ok

NO_RETRY = (replace(ROUTE, retry_count=0),)
RULES = {"consecutive_failures": 2, "eject_time": 10.0}


def make_world(count: int = 2, **changes: object) -> World:
    return World(service(count, **{**RULES, **changes}), routes=NO_RETRY)


def with_standbys(world: World, **standbys: Standby) -> ServiceRecord:
    """The service with instances in these states: i1 is 10.0.0.1."""
    records = world.ctx.services["users"].record
    return replace(records, instances=tuple(instance(int(name[1:]), standby) for name, standby in standbys.items()))


def fail(world: World, cell: int, how: str) -> None:
    """One attempt on this instance, found by asking until it is picked, fails."""
    world.network.accepts = how != "refused"
    while True:
        client = world.client(GET)
        if world.upstream.host == f"10.0.0.{cell}":
            break
        if how == "refused":
            world.upstream.accept()
        world.upstream.send(ok(b"ok", b"Connection: close"))
        client.take()
    if how == "refused":
        world.upstream.refuse()
        world.network.accepts = True
    elif how == "reset":
        world.upstream.reset()
    else:
        world.upstream.send(b"HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    client.take()


def word(world: World, cell: int, offset: int) -> int:
    return int(world.ctx.words[instance_word(0, cell, offset)])


def picked(world: World, requests: int = 6) -> set[str]:
    """Who takes requests now."""
    hosts = set()
    for _ in range(requests):
        client = world.client(GET)
        hosts.add(world.upstream.host)
        world.upstream.send(ok(b"ok", b"Connection: close"))
        client.take()
    return hosts


def test_it_is_in_force_at_once_and_told_with_its_reason() -> None:
    with make_world() as world:
        fail(world, 1, "status")
        fail(world, 1, "reset")
        assert world.ejections == [
            "10.0.0.1:80 out: upstream_reset, failure 2 in a row: ejected for 10 s, ejection 1",
        ]
        assert (word(world, 1, I_EJECTIONS), word(world, 1, I_EJECTION_COUNT)) == (1, 1)
        assert picked(world) == {"10.0.0.2"}


@pytest.mark.parametrize(("how", "is_refuted"), [("refused", True), ("reset", False), ("status", False)])
def test_a_probe_ends_it_only_if_every_failure_was_one_to_connect(how: str, is_refuted: bool) -> None:
    with make_world() as world:
        fail(world, 1, how)
        world.advance(1.1)  # a refused connect is avoided for a moment
        fail(world, 1, how)
        world.ejections.clear()
        world.advance(1.1)
        world.ctx.services["users"].refute("10.0.0.1:80", world.ctx.now - 0.1, world.ctx.now, "200 in 2 ms")
        assert word(world, 1, I_EJECTED_UNTIL_NS) == 0 if is_refuted else word(world, 1, I_EJECTED_UNTIL_NS) > 0
        assert picked(world) == ({"10.0.0.1", "10.0.0.2"} if is_refuted else {"10.0.0.2"})
        told = ["10.0.0.1:80 over: a probe succeeded: 200 in 2 ms"]
        assert world.ejections == (told if is_refuted else [])


def test_a_probe_that_began_before_the_ejection_says_nothing() -> None:
    with make_world() as world:
        fail(world, 1, "refused")
        world.ctx.services["users"].refute("10.0.0.1:80", world.ctx.now, world.ctx.now, "200 in 2 ms")
        assert picked(world) == {"10.0.0.2"}
        world.advance(2.0)


def test_the_snapshots_ejection_is_everybodys_probation() -> None:
    """Another worker ejected it for the second time: here one failure after it makes the third."""
    with make_world() as world:
        until = int((world.ctx.now + 20.0) * 1e9)
        world.ctx.words[instance_word(0, 1, I_EJECTION_COUNT)] = 2
        world.ctx.words[instance_word(0, 1, I_EJECTED_UNTIL_NS)] = until
        world.publish(with_standbys(world, i1=Standby.EJECTED, i2=Standby.ELIGIBLE))
        assert picked(world) == {"10.0.0.2"}
        world.advance(20.1)
        world.publish(with_standbys(world, i1=Standby.ELIGIBLE, i2=Standby.ELIGIBLE))
        fail(world, 1, "reset")
        assert world.ejections == ["10.0.0.1:80 out: upstream_reset, failure 2 in a row: ejected for 30 s, ejection 3"]


def test_what_others_ejected_too_makes_own_ejections_too_many() -> None:
    """Both of two were ejected, each by one worker; the snapshot says which one stays out."""
    with make_world() as world:
        for _ in range(2):
            fail(world, 1, "reset")
        world.publish(with_standbys(world, i1=Standby.ELIGIBLE, i2=Standby.EJECTED))
        assert picked(world) == {"10.0.0.1"}
        assert word(world, 1, I_EJECTED_UNTIL_NS) == 0
        assert "over: too many would be out" in world.ejections[-1]
        world.publish(with_standbys(world, i1=Standby.ELIGIBLE, i2=Standby.ELIGIBLE))
        for _ in range(2):
            fail(world, 1, "reset")
        assert world.ejections[-1].endswith("ejected for 20 s, ejection 2"), "it may be ejected again at once"


def test_an_ejection_that_the_snapshot_knows_of_stays() -> None:
    with make_world(4) as world:
        for _ in range(2):
            fail(world, 1, "reset")
        states = {"i1": Standby.EJECTED, "i2": Standby.EJECTED, "i3": Standby.ELIGIBLE, "i4": Standby.ELIGIBLE}
        world.publish(with_standbys(world, **states))
        assert picked(world, 12) == {"10.0.0.3", "10.0.0.4"}
        assert word(world, 1, I_EJECTED_UNTIL_NS) > 0


def test_failing_open_uses_what_this_worker_ejected() -> None:
    with make_world() as world:
        for _ in range(2):
            fail(world, 1, "reset")
        world.publish(with_standbys(world, i1=Standby.FAIL_OPEN, i2=Standby.ELIGIBLE))
        assert picked(world) == {"10.0.0.1", "10.0.0.2"}


def test_the_probes_taking_it_out_end_the_ejection_and_are_told_of() -> None:
    with make_world() as world:
        for _ in range(2):
            fail(world, 1, "reset")
        world.publish(with_standbys(world, i1=Standby.UNHEALTHY, i2=Standby.ELIGIBLE))
        assert word(world, 1, I_EJECTED_UNTIL_NS) == 0
        assert world.ejections[-1] == "10.0.0.1:80 over: the probes took it out"
        world.publish(with_standbys(world, i1=Standby.ELIGIBLE, i2=Standby.ELIGIBLE))
        assert picked(world) == {"10.0.0.1", "10.0.0.2"}
        for _ in range(2):
            fail(world, 1, "reset")
        assert world.ejections[-1].endswith("ejected for 20 s, ejection 2")


def test_a_cell_that_was_anothers_is_cleared_by_its_new_owner() -> None:
    with make_world() as world:
        for offset in (I_EJECTED_UNTIL_NS, I_EJECTION_COUNT):
            world.ctx.words[instance_word(0, 5, offset)] = 99
        moved = InstanceRecord(5, "10.0.0.9", 80, 1.0, True, Standby.ELIGIBLE)
        record = world.ctx.services["users"].record
        world.publish(replace(record, instances=(*record.instances, moved)))
        assert word(world, 5, I_EJECTED_UNTIL_NS) == word(world, 5, I_EJECTION_COUNT) == 0
