"""One gateway with many services: how it starts, what one change takes, and what it uses at rest."""

from __future__ import annotations

import json
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.events.stage import environment
from benchmarks.load.measure import cpu_of, memory_of
from benchmarks.load.processes import free_ports
from benchmarks.rig.children import Stuck, child, wait_until
from benchmarks.rig.consul import Consul
from benchmarks.rig.gateway import RunningGateway
from benchmarks.rig.shared import Shared
from benchmarks.scale.catalog import Place, add, fill, places, remove

HOSTS = 50  # addresses 127.0.0.1 to 127.0.0.50
PORTS = 10
REST = (0.3, 0.6)  # seconds between changes
CHANGE_SECONDS = 30.0
START_SECONDS = 300.0
OPTIONS = {"none": ["gw.health.type=none"], "probes": ["gw.health.interval=5"]}
"""By kind of run: the tags that every service has."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of it."""

    command: str
    workers: int
    services: int
    each: int
    changes: int
    rest: float  # seconds at rest
    connections: int  # that Consul allows per client; 0: its own default, 200


@dataclass(slots=True)
class Figures:
    """What one run came to. CPU is a share of one core at rest, and milliseconds for a change."""

    kind: str
    instances: int = 0
    ready_seconds: float = 0.0
    whole_seconds: float = 0.0  # until every worker uses all instances
    snapshot_bytes: int = 0
    supervisor_rss: int = 0
    worker_rss: int = 0  # of one, the mean
    all_pss: int = 0
    consul_rss: int = 0
    rest: dict[str, float] = field(default_factory=dict)  # CPU share by process
    add_ms: list[float] = field(default_factory=list)  # from the call's return until every worker uses the change
    remove_ms: list[float] = field(default_factory=list)
    change_cpu_ms: dict[str, float] = field(default_factory=dict)  # a change, by process, less what rest costs


def run(kind: str, plan: Plan, folder: Path) -> Figures:
    """Raises Stuck when something does not come true in time."""
    figures, options = Figures(kind, plan.services * plan.each), OPTIONS[kind]
    with ExitStack() as stack:
        ports = free_ports(PORTS)
        addresses = [f"127.0.0.{host + 1}:{port}" for port in ports for host in range(HOSTS)]
        if kind == "probes":
            _serve(stack, folder, addresses)
        everything = places(plan.services, plan.each, addresses)
        limit = f"limits {{ http_max_conns_per_client = {plan.connections} }}" if plan.connections else ""
        consul = stack.enter_context(Consul(folder, config=limit))
        fill(consul, everything, options)
        config = f'[consul]\naddress = "{consul.address}"\n'
        gateway = RunningGateway(plan.command, folder, config, plan.workers)
        stack.callback(gateway.end)
        began = time.monotonic()
        gateway.start(START_SECONDS)
        figures.ready_seconds = gateway.ready_seconds
        shared = Shared(gateway.pid)
        _await_all(shared, len(everything))
        figures.whole_seconds = time.monotonic() - began
        figures.snapshot_bytes = len(shared.payload()[1])
        pids = _pids(gateway, consul)
        time.sleep(2 * plan.rest / 10 + 5.0)  # what the start left to do
        figures.rest = {name: used / plan.rest for name, used in _cpu(pids, lambda: time.sleep(plan.rest)).items()}
        _weigh(figures, pids)
        chosen = random.sample(range(0, len(everything), plan.each), min(plan.changes, plan.services))
        extra = [
            replace(everything[at], number=len(everything) + nth, address=addresses[-1 - nth % len(addresses)])
            for nth, at in enumerate(chosen)
        ]
        extra = [place for place in extra if place.address not in _known(shared, place.service)]
        _change(figures, consul, shared, extra, options, pids)
    return figures


def _serve(stack: ExitStack, folder: Path, addresses: Sequence[str]) -> None:
    """One process answers on all addresses."""
    command = [sys.executable, "-P", "-m", "benchmarks.events.instance", "all", "0", *addresses]
    context = child(command, log=folder / "instances.log", environment=environment(), pipes=True, stop=signal.SIGKILL)
    process = stack.enter_context(context)
    assert process.stdout is not None
    if not process.stdout.readline():
        raise Stuck(f"the instances did not start; see {folder / 'instances.log'}")


def _known(shared: Shared, service: str) -> set[str]:
    return set(shared.instances(service)[1])


def _await_all(shared: Shared, count: int) -> None:
    """Until every worker uses a snapshot in which all instances take traffic."""

    def is_whole() -> bool:
        time.sleep(0.05)
        eligible = sum(each.eligible for service in shared.snapshot().services for each in service.instances)
        return eligible == count and min(shared.generations()) == shared.generation

    wait_until(is_whole, START_SECONDS, f"{count} instances in use")


def _pids(gateway: RunningGateway, consul: Consul) -> dict[str, int]:
    workers = json.loads(gateway.get("/api/status")[1])["workers"]
    found = {"supervisor": gateway.pid, "Consul": consul.pid}
    return found | {f"worker {each['id']}": each["pid"] for each in workers}


def _cpu(pids: dict[str, int], during: Callable[[], None]) -> dict[str, float]:
    """Seconds of CPU by process while `during` runs; the workers' mean as one."""
    before = {name: cpu_of(pid) for name, pid in pids.items()}
    during()
    used = {name: cpu_of(pid) - before[name] for name, pid in pids.items()}
    workers = [used.pop(name) for name in list(used) if name.startswith("worker")]
    return used | {"a worker": sum(workers) / len(workers)}


def _weigh(figures: Figures, pids: dict[str, int]) -> None:
    workers = [pid for name, pid in pids.items() if name.startswith("worker")]
    figures.supervisor_rss = memory_of([pids["supervisor"]]).rss
    figures.worker_rss = memory_of(workers).rss // len(workers)
    figures.all_pss = memory_of([pids["supervisor"], *workers]).pss
    figures.consul_rss = memory_of([pids["Consul"]]).rss


def _change(
    figures: Figures,
    consul: Consul,
    shared: Shared,
    extra: Sequence[Place],
    options: Sequence[str],
    pids: dict[str, int],
) -> None:
    """One instance more and one less, again and again; each time in another service."""

    def play() -> None:
        for place in extra:
            time.sleep(random.uniform(*REST))
            add(consul, place, options)
            figures.add_ms.append(_await_change(shared, place, is_there=True))
            time.sleep(random.uniform(*REST))
            remove(consul, place)
            figures.remove_ms.append(_await_change(shared, place, is_there=False))

    began = time.monotonic()
    used = _cpu(pids, play)
    seconds, changes = time.monotonic() - began, max(1, 2 * len(extra))
    figures.change_cpu_ms = {name: (cpu - figures.rest[name] * seconds) / changes * 1000 for name, cpu in used.items()}


def _await_change(shared: Shared, place: Place, *, is_there: bool) -> float:
    """Milliseconds from now, the call's return, until every worker uses a snapshot that has, or lacks, the instance."""
    began, looked = time.monotonic(), 0
    while time.monotonic() - began < CHANGE_SECONDS:
        generation = shared.generation
        if generation != looked:
            looked, instances = shared.instances(place.service)
            if (place.address in instances and instances[place.address].eligible) is is_there:
                while min(shared.generations()) < looked:
                    time.sleep(0.0002)
                return (time.monotonic() - began) * 1000
        time.sleep(0.0005)
    raise Stuck(f"{place.address} of {place.service} did not {'come' if is_there else 'go'} in {CHANGE_SECONDS:g} s")
