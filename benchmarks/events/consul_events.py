"""Events of Consul and of the gateway itself: an outage, an agent that forgot, a lost leader, a restart, cycles."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from benchmarks.events.figures import Times
from benchmarks.events.instance_events import await_first, await_use, rest
from benchmarks.events.stage import SERVICE, TTL, Stage
from benchmarks.load.measure import memory, tree
from benchmarks.rig.children import Stuck, wait_until
from benchmarks.rig.consul import Consul, leader, voters
from benchmarks.rig.shared import Instances, Shared

REREGISTER = 2.0  # seconds after which services notice that their agent forgot them


def consul_stopped(stage: Stage, seconds: float) -> tuple[Times, list[str]]:
    """Consul ends (SIGTERM), and comes back with what it knew; then an instance is registered.

    The services' TTL checks have been reported to, as services do: an agent that starts takes every check for critical
    whose state it has not stored, and it stores that of TTL checks when they report.
    """
    for each in stage.instances:
        stage.consul.set_check(SERVICE, each.address, "passing")
    times, least = Times(), _Least(stage)
    with least.watched():
        stage.consul.end(signal.SIGTERM)
        time.sleep(seconds)
        stage.consul.start()
        returned = time.monotonic()
        _register_spare(stage, times)
    note = f"Consul was away for {seconds:g} s; a registration right after its return was in use "
    note += f"{(time.monotonic() - returned) * 1000:.0f} ms after Consul had a leader again"
    return times, [note, least.note]


def consul_stopped_http(stage: Stage, seconds: float) -> tuple[Times, list[str]]:
    """The same with HTTP checks of Consul's own, whose state no agent stores: all are critical until they have run."""
    times, least = Times(), _Least(stage)
    for each in stage.instances:
        check = {"HTTP": f"http://{each.address}/health", "Interval": "10s", "Status": "passing"}
        stage.consul.deregister(SERVICE, each.address)
        stage.wait(lambda gone=each.address: gone not in stage.observer.instances, "deregistered")  # type: ignore[misc]
        stage.consul.register(SERVICE, each.address, check=check)
        stage.wait(lambda back=each.address: stage.is_in_use(back), "registered with another check")  # type: ignore[misc]
    with least.watched():
        stage.consul.end(signal.SIGTERM)
        time.sleep(seconds)
        stage.consul.start()
        _register_spare(stage, times)
        time.sleep(12.0)
    return times, ["Consul starts such checks as critical, and asks every 10 s, at a random moment first", least.note]


def consul_empty(stage: Stage, grace: float) -> tuple[Times, list[str]]:
    """A dev agent is killed and comes back knowing nothing; all services but one register again."""
    times, least = Times(), _Least(stage)
    forgotten = stage.instances[2]
    with least.watched():
        stage.consul.end()
        stage.consul.start()
        time.sleep(REREGISTER)
        for each in stage.instances[:2]:
            stage.consul.register(SERVICE, each.address, check=TTL)
    stage.observer.restart()
    forgotten.seen()
    event = time.monotonic()
    _register_spare(stage, times)
    ms = await_use(stage, event, lambda found: forgotten.address not in found, "the forgotten one is out")
    time.sleep(0.5)
    late = sum(at > event + ms / 1000 + 0.05 for at in forgotten.seen())
    notes = [f"services registered again after {REREGISTER:g} s, one never did: it was used, since it passed its "]
    notes[0] += f"probes, until removal_grace ({grace:g} s) was over, and got {late} requests after that"
    return times, [*notes, least.note]


def leader_lost(stage: Stage, servers: Sequence[Consul], repetitions: int) -> tuple[Times, list[str]]:
    """The leader of three servers is killed, and an instance registered at once with the gateway's client agent."""
    times, least, elections = Times(), _Least(stage), []
    address = stage.spare.address
    with least.watched():
        for _ in range(repetitions):
            rest()
            lost = leader(servers)
            others = [each for each in servers if each is not lost]
            event = time.monotonic()
            lost.end()
            registering = threading.Thread(target=stage.consul.register, args=(SERVICE, address), kwargs={"check": TTL})
            registering.start()  # without a leader the agent answers late
            wait_until(lambda known=others, old=lost: _has_leader(known, old), 60, "a new leader")  # type: ignore[misc]
            elections.append(time.monotonic() - event)
            times.into.append(await_use(stage, event, _with(address), "in use"))
            times.first.append(await_first(stage, address, event))
            registering.join()
            lost.start()
            wait_until(lambda: voters(servers) == len(servers), 60, "all servers vote")  # else the next one is the last
            stage.consul.deregister(SERVICE, address)
            stage.wait(lambda: address not in stage.observer.instances, "the spare instance is out again")
    slowest = f"the others had a new leader after {min(elections):.1f} to {max(elections):.1f} s"
    return times, [f"an instance was registered the moment the leader was killed; {slowest}", least.note]


def gateway_restarted(stage: Stage) -> tuple[Times, list[str]]:
    """Consul ends, then the gateway is restarted: what it knew has to come from its own memory on disk."""
    stage.consul.end()
    time.sleep(1.0)
    began = time.monotonic()
    stage.gateway.end()
    ended = time.monotonic()
    stage.gateway.start()
    ready = time.monotonic()
    used = _used_by_the_new_one(stage)
    note = f"drained in {ended - began:.1f} s, ready again {ready - ended:.1f} s later with {used} instances in use"
    return Times(), [f"{note}; requests that were refused while no gateway ran are counted as failed"]


def gateway_replaced(stage: Stage) -> tuple[Times, list[str]]:
    """Consul ends, then the gateway is replaced by a new one beside it."""
    stage.consul.end()
    time.sleep(1.0)
    began = time.monotonic()
    stage.gateway.replace()
    over = time.monotonic()
    used = _used_by_the_new_one(stage)
    return Times(), [f"the old one was gone after {over - began:.1f} s; the new one has {used} instances in use"]


def _used_by_the_new_one(stage: Stage) -> int:
    """How many instances, once its probes have had their time."""
    time.sleep(2.0)
    return _in_use(Shared(stage.gateway.pid).instances(SERVICE)[1])


def cycles(stage: Stage, count: int) -> tuple[Times, list[str]]:
    """Registered and deregistered, as fast as the agent takes it."""
    before = memory(stage.gateway.pid).pss
    began = time.monotonic()
    for _ in range(count):
        stage.consul.register(SERVICE, stage.spare.address, check=TTL)
        stage.consul.deregister(SERVICE, stage.spare.address)
    seconds = time.monotonic() - began
    stage.wait(lambda: stage.spare.address not in stage.observer.instances, "the spare instance is out in the end")
    rest()
    times = Times()
    _register_spare(stage, times)
    generation = stage.observer.shared.generation
    grown = (memory(stage.gateway.pid).pss - before) / 2**20
    note = f"{count} cycles in {seconds:.1f} s made {generation} generations"
    return times, [f"{note}; memory of all {len(tree(stage.gateway.pid))} processes grew by {grown:.1f} MiB (PSS)"]


class _Least:
    """The fewest instances that were in use at any moment."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.note = ""

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """While this lasts."""
        self._stage.observer.restart()
        yield
        counts = [_in_use(each.instances) for each in self._stage.observer.history().changes]
        self.note = f"never fewer than {min(counts)} instances in use"


def _in_use(found: Instances) -> int:
    return sum(each.eligible for each in found.values())


def _register_spare(stage: Stage, times: Times) -> None:
    address = stage.spare.address
    event = time.monotonic()
    stage.consul.register(SERVICE, address, check=TTL)
    times.into.append(await_use(stage, event, _with(address), "in use"))
    times.first.append(await_first(stage, address, event))


def _with(address: str) -> Callable[[Instances], bool]:
    return lambda found: address in found and found[address].eligible


def _has_leader(servers: Sequence[Consul], old: Consul) -> bool:
    with contextlib.suppress(Stuck):
        return leader([*servers, old]) is not old
    return False
