"""The scenarios: one kind of fault again and again under a steady load, and all of them at once."""

from __future__ import annotations

import http.client
import random
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.events.stage import Instance, load_on
from benchmarks.reliability import faults, leaks
from benchmarks.reliability.faults import Stage
from benchmarks.reliability.figures import Row, refusals
from benchmarks.reliability.host import Host, environment
from benchmarks.rig.children import wait_until

CONFIG = """
[[services]]
name = "bench"
instances = [{instances}]
[services.health]
interval = 1.0
timeout = 1.0

[[services]]
name = "slow"
instances = ["http://{slow}"]

[[routes]]
path = "/slow/*"
service = "slow"

[[routes]]
path = "/*"
methods = ["GET"]
service = "bench"
timeout = 10.0
per_try_timeout = 1.0

[[routes]]
path = "/*"
methods = ["POST"]
service = "bench"
timeout = 10.0
"""
SLOW = 1.5  # seconds that a slow request takes
SLOW_REQUESTS = 8
NOTICE = 0.5  # shutdown_delay: in which an outer balancer stops to send
REST = (0.2, 0.5)  # seconds between two faults
ALL_REST = (0.5, 3.0)


@dataclass(frozen=True, slots=True)
class Options:
    """How much of it."""

    command: str
    workers: int
    rate: float
    scale: float  # share of the usual repetitions
    minutes: float  # of all at once
    seed: int


@dataclass(frozen=True, slots=True)
class Scenario:
    """`fault` is repeated `times`."""

    title: str
    recovery: str
    times: int
    fault: Callable[[Stage], float]


SCENARIOS = {
    "worker-kill": Scenario("a worker killed (kill -9)", "until its successor serves", 50, faults.kill_worker),
    "supervisor-kill": Scenario(
        "the supervisor killed, a new `gw up` at once", "until that is ready", 20, faults.kill_supervisor
    ),
    "reload": Scenario("a reload; each tenth file is bad", "until every worker uses it", 100, faults.reload),
    "upgrade": Scenario("`gw up --replace`", "until the new one is ready and the old one gone", 20, faults.upgrade),
    "descriptors": Scenario(
        "idle clients take all descriptors for 2 s",
        "from their leaving to a new one's answer",
        5,
        faults.exhaust_descriptors,
    ),
    "worker-stop": Scenario("a worker stopped (SIGSTOP)", "until it is replaced", 3, faults.stop_worker),
    "instance-stop": Scenario("an instance stopped for 4 s", "until it is out", 5, faults.hang_instance),
}
STOP, DISK, ALL = "stop", "full-disk", "all"
TITLES = {
    STOP: ("a stop (SIGTERM) with slow requests in flight", "until it has exited"),
    DISK: ("the access log on a full disk", "-"),
    ALL: ("all of these at once", "-"),
}
NAMES = (*SCENARIOS, STOP, DISK, ALL)


def run(name: str, options: Options, folder: Path) -> Row:
    """Play one from an empty folder. Raises Stuck when something does not come true in time."""
    title, recovery = TITLES[name] if name in TITLES else (SCENARIOS[name].title, SCENARIOS[name].recovery)
    row = Row(name, title, recovery)
    before, run_id = leaks.shared_memory(), uuid.uuid4().hex
    with _instances(folder) as (instances, slow):
        host = _host(options, folder, instances, slow, run_id, delay=NOTICE if name == STOP else 0.0)
        if name == STOP:
            _stops(host, row, options)
        else:
            _steady(name, Stage(host, instances, random.Random(options.seed)), row, options)
    if left := leaks.marked(run_id):
        row.leaks.append(f"processes {sorted(left)}")
    if named := leaks.shared_memory() - before:
        row.leaks.append(f"in /dev/shm: {', '.join(sorted(named))}")
    return row


@contextmanager
def _instances(folder: Path) -> Iterator[tuple[list[Instance], Instance]]:
    with ExitStack() as stack:
        quick = [Instance(name, folder) for name in ("one", "two", "three")]
        slow = Instance("slow", folder, SLOW)
        for each in (*quick, slow):
            stack.callback(each.kill)
            each.start()
        yield quick, slow


def _host(
    options: Options, folder: Path, instances: list[Instance], slow: Instance, run_id: str, *, delay: float
) -> Host:
    listed = ", ".join(f'"http://{each.address}"' for each in instances)
    config = CONFIG.format(instances=listed, slow=slow.address)
    marked = environment(leaks.MARK, run_id)
    return Host(options.command, folder, config, options.workers, marked, delay=delay)


def _steady(name: str, stage: Stage, row: Row, options: Options) -> None:
    """A load from before the first fault to after the last one."""
    host = stage.host
    if name == DISK:
        host.access = faults.FULL
    with host:
        descriptors = leaks.own_descriptors(host.pid)
        with load_on(host.port, options.rate, host.file.parent) as load:
            if name == ALL:
                _all_at_once(stage, row, options.minutes * 60)
            elif name == DISK:
                time.sleep(10.0)
                row.repeated = 1
            else:
                _repeat(SCENARIOS[name], stage, row, options.scale)
            time.sleep(0.5)  # a moment of plain traffic in what came last
            report = load.stop()
        row.count(report, stage.losses)
        if name != DISK:
            with Path(host.access).open() as lines:
                row.refused = refusals(lines)
        if grown := leaks.grown(host.pid, descriptors):
            row.leaks.append(grown)
        if zombies := leaks.zombies([host.pid]):
            row.leaks.append(f"zombies {zombies}")


def _repeat(scenario: Scenario, stage: Stage, row: Row, scale: float) -> None:
    for _ in range(max(1, round(scenario.times * scale))):
        time.sleep(stage.random.uniform(*REST))
        row.recovery_ms.append(scenario.fault(stage))
        row.repeated += 1


def _all_at_once(stage: Stage, row: Row, seconds: float) -> None:
    """Processes of the gateway suffer in one thread; configuration, descriptors and instances in others."""
    until = time.monotonic() + seconds
    failures: list[Exception] = []
    counts: dict[str, int] = {}

    def suffer(names: tuple[str, ...], seed: int) -> None:
        chooser = random.Random(seed)
        mine = Stage(stage.host, stage.instances, chooser, stage.losses)
        while time.monotonic() < until and not failures:
            time.sleep(chooser.uniform(*ALL_REST))
            name = chooser.choice(names)
            try:
                SCENARIOS[name].fault(mine)
            except Exception as error:
                failures.append(error)
                return
            counts[name] = counts.get(name, 0) + 1

    groups = (("worker-kill", "worker-kill", "supervisor-kill", "upgrade", "worker-stop", "reload"), ("instance-stop",))
    threads = [threading.Thread(target=suffer, args=(names, seed)) for seed, names in enumerate(groups)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    row.repeated = sum(counts.values())
    row.notes.append(", ".join(f"{count} x {SCENARIOS[name].title}" for name, count in sorted(counts.items())))
    if failures:
        raise failures[0]


# --- stopping --------------------------------------------------------------------------------
def _stops(host: Host, row: Row, options: Options) -> None:
    """Each time: a load that ends as /ready does, as an outer balancer's would, and slow requests in flight."""
    for _ in range(max(1, round(20 * options.scale))):
        with host:
            with load_on(host.port, options.rate, host.file.parent) as load:
                time.sleep(0.3)
                slow = [_Slow(host.port, "POST" if each % 2 else "GET") for each in range(SLOW_REQUESTS)]
                for each in slow:
                    each.start()
                wait_until(lambda: all(each.is_sent.is_set() for each in slow), 10.0, "slow requests in flight")  # noqa: B023
                time.sleep(0.3)
                began = time.monotonic()
                host.process.send_signal(signal.SIGTERM)
                wait_until(lambda: host.get("/ready") == 503, NOTICE, "/ready is 503")
                report = load.stop()
            code = host.process.wait(30)
            row.recovery_ms.append((time.monotonic() - began) * 1000)
            if code:
                row.failed[f"exit code {code}"] = row.failed.get(f"exit code {code}", 0) + 1
            for each in slow:
                each.join(15)
                row.sent += 1
                if each.cause:
                    row.failed[each.cause] = row.failed.get(each.cause, 0) + 1
        row.count(report, ())
        row.repeated += 1


class _Slow(threading.Thread):
    """One slow request on a connection of its own."""

    def __init__(self, port: int, method: str) -> None:
        super().__init__(daemon=True)
        self.is_sent = threading.Event()
        self.cause = "slow: no answer"
        self._port = port
        self._method = method

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=15)
        try:
            connection.request(self._method, "/slow/one", b"body" if self._method == "POST" else None)
            self.is_sent.set()
            answer = connection.getresponse()
            answer.read()
            self.cause = "" if answer.status == 200 else f"slow: {answer.status}"
        except (OSError, http.client.HTTPException) as error:
            self.cause = f"slow: {type(error).__name__}"
            self.is_sent.set()
        finally:
            connection.close()
