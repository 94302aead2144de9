"""Everything that one scenario plays on: Consul, instances, a gateway, a load, and the observer of it all."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.events.client import Report
from benchmarks.load.processes import free_ports
from benchmarks.rig.children import Stuck, child, end, wait_until
from benchmarks.rig.consul import Consul
from benchmarks.rig.gateway import RunningGateway
from benchmarks.rig.shared import Observer

ROOT = Path(__file__).parent.parent.parent
SERVICE = "bench"
LATENCY = 0.005  # seconds an instance takes to answer: enough that an event meets requests in flight
CONFIG = """\
[consul]
address = "{consul}"
removal_grace = {grace}

[[services]]
name = "bench"
consul = "bench"
[services.health]
path = "/health"
interval = 1.0
timeout = 1.0

[[routes]]
path = "/*"
service = "bench"
timeout = 10.0
per_try_timeout = 1.0
"""
TTL = {"TTL": "1h", "Status": "passing"}


class Instance:
    """A process that serves. `kill` and `start`, `stop` and `go_on`."""

    def __init__(self, name: str, folder: Path, latency: float = LATENCY) -> None:
        """`latency` is how long it takes to answer, in seconds."""
        self.name = name
        self._latency = latency
        (self.port,) = free_ports(1)
        self.address = f"127.0.0.1:{self.port}"
        self._folder = folder
        self._stack = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns once it listens."""
        command = [
            sys.executable,
            "-P",
            "-m",
            "benchmarks.events.instance",
            self.name,
            str(self._latency),
            self.address,
        ]
        context = child(command, log=self._folder / "instances.log", environment=environment(), pipes=True)
        self._process = self._stack.enter_context(context)
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise Stuck(f"instance {self.name} did not start; see {self._folder / 'instances.log'}")

    def kill(self) -> None:
        """SIGKILL."""
        self._stack.close()
        self._process = None

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP, SIGCONT."""
        assert self._process is not None
        self._process.send_signal(number)

    def set_health(self, status: int) -> None:
        """What /health answers from now on."""
        self._ask(f"/_health?{status}")

    def seen(self) -> list[float]:
        """When requests arrived since the last call."""
        found: list[float] = json.loads(self._ask("/_seen"))
        return found

    def _ask(self, target: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", target)
            return connection.getresponse().read()
        finally:
            connection.close()


def environment() -> dict[str, str]:
    """For a Python process that imports this tree."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}


class Load:
    """The client's process. `stop` returns its report."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def stop(self) -> Report:
        """Every request under way comes to its end first."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        last = self._process.stdout.read().splitlines()
        end(self._process, signal.SIGTERM)
        if not last:
            raise Stuck("the load ended without a report")
        said = json.loads(last[-1])
        return Report(said["sent"], [tuple(each) for each in said["failures"]], said["latencies"])


@dataclass(slots=True)
class Stage:
    """One scenario's surroundings. `spare` is an instance that runs and is not registered yet."""

    consul: Consul
    gateway: RunningGateway
    instances: list[Instance]
    spare: Instance
    observer: Observer
    load: Load

    def wait(self, claim: Callable[[], object], what: str, timeout: float = 30.0) -> None:
        """Until the claim is true. Raises Stuck."""
        wait_until(claim, timeout, f"{what}; the gateway's log is {self.gateway.log}")

    def is_in_use(self, address: str) -> bool:
        """Does the newest snapshot let the instance take traffic?"""
        found = self.observer.instances.get(address)
        return found is not None and found.eligible

    def pids(self) -> list[int]:
        """The supervisor, then the workers."""
        said = json.loads(self.gateway.get("/api/status")[1])
        return [self.gateway.pid, *(worker["pid"] for worker in said["workers"])]


@contextmanager
def load_on(port: int, rate: float, folder: Path) -> Iterator[Load]:
    """A load on the gateway at `port`, once its first answers are there."""
    command = [sys.executable, "-P", "-m", "benchmarks.events.client", str(port), str(rate)]
    with child(command, log=folder / "client.log", environment=environment(), pipes=True) as process:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise Stuck(f"the load did not start; see {folder / 'client.log'}")
        yield Load(process)


@contextmanager
def stage(
    folder: Path, consul: Consul, *, command: str, workers: int, rate: float, grace: float = 30.0
) -> Iterator[Stage]:
    """Three instances registered with the running `consul` and in use, a spare one, and the load."""
    with ExitStack() as stack:
        instances = [Instance(name, folder) for name in ("one", "two", "three", "spare")]
        for each in instances:
            stack.callback(each.kill)
            each.start()
        for each in instances[:3]:
            consul.register(SERVICE, each.address, check=TTL)
        config = CONFIG.format(consul=consul.address, grace=grace)
        gateway = stack.enter_context(RunningGateway(command, folder, config, workers))
        observer = stack.enter_context(Observer(gateway.pid, SERVICE))
        wait_until(
            lambda: (
                all(each.address in observer.instances for each in instances[:3])
                and all(each.eligible for each in observer.instances.values())
            ),
            30.0,
            "three instances in use",
        )
        load = stack.enter_context(load_on(gateway.port, rate, folder))
        time.sleep(0.5)  # a moment of plain traffic in every worker
        yield Stage(consul, gateway, instances[:3], instances[3], observer, load)
