"""One gateway under the mix: started, watched, reloaded, ended. No judging: `verdict` does that."""

import contextlib
import functools
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.load import configs, measure
from benchmarks.load.configs import Place
from benchmarks.load.peers import Peer
from benchmarks.load.processes import cores, free_ports, process, wait_until
from benchmarks.load.upstream import START_TIME, answers, upstreams
from benchmarks.soak.echo import echo
from benchmarks.soak.sample import Sample, generation, processes
from benchmarks.soak.tally import Tally
from benchmarks.soak.traffic import UPGRADE_PATH, WORKLOADS, traffic

RELOAD_PERIOD = 60.0
"""Seconds between two reloads. Each changes the configuration, and the access log is rotated with it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run."""

    peer: Peer
    workers: int
    seconds: float
    interval: float
    rate: float


@dataclass(slots=True)
class Record:
    """What was seen so far: complete whenever the run is interrupted."""

    samples: list[Sample] = field(default_factory=list)
    reloads: int = 0


@contextlib.contextmanager
def _started(plan: Plan, folder: Path) -> Iterator[tuple[Place, int, str]]:
    """Instances and gateway, which share all cores: its place, pid and configuration. Raises RuntimeError when one
    does not start."""
    everything, _ = cores(plan.workers, is_spread=True)
    with upstreams(folder / "upstream", everything, WORKLOADS) as instances, echo() as echo_port:
        port, admin_port = free_ports(2)
        place = Place(folder, port, admin_port, instances.ports(WORKLOADS[0]), plan.workers)
        text = _configuration(place, echo_port)
        file = folder / "gateway.toml"
        file.write_text(text)
        with process(plan.peer.command(file), everything, place.output, folder=folder) as started:
            ready = functools.partial(answers, port, UPGRADE_PATH)
            if not wait_until(lambda: started.poll() is not None or ready(), START_TIME) or started.poll() is not None:
                raise RuntimeError(f"gw did not start: {place.output.read_text(errors='replace')[-500:]}")
            yield place, started.pid, text


def _configuration(place: Place, echo_port: int) -> str:
    (text,) = configs.gw(place).values()
    return f"""{text}
[[services]]
name = "echo"
instances = ["http://127.0.0.1:{echo_port}"]
[services.health]
type = "http"
path = "/health"

[[routes]]
path = "{UPGRADE_PATH}"
service = "echo"
"""


def _reload(place: Place, pid: int, text: str, count: int) -> None:
    """Another configuration than before: a route that every second one has. And a new access log, as by logrotate."""
    extra = f'\n[[routes]]\npath = "/reload-{count}"\nservice = "echo"\n' if count % 2 else ""
    (place.folder / "gateway.toml").write_text(text + extra)
    os.kill(pid, signal.SIGHUP)
    place.access_log.unlink(missing_ok=True)
    os.kill(pid, signal.SIGUSR1)


def run(plan: Plan, folder: Path, record: Record, show: Callable[[Sample], None]) -> None:
    """Fills `record` until the time is over. Raises RuntimeError when something does not start or gw ends."""
    with _started(plan, folder) as (place, pid, text):
        tally = Tally()
        with traffic(place.port, plan.rate, tally):
            began = last = time.monotonic()
            cpu = measure.cpu_seconds(pid)
            while last - began < plan.seconds:
                time.sleep(max(0.0, last + min(plan.interval, began + plan.seconds - last) - time.monotonic()))
                now, seen, cpu_now = time.monotonic(), tally.take(), measure.cpu_seconds(pid)
                try:
                    held = processes(pid)
                except (FileNotFoundError, ProcessLookupError) as error:
                    printed = place.output.read_text(errors="replace")[-500:]
                    raise RuntimeError(f"a process of gw ended: {error}: {printed}") from error
                cpu_us = (cpu_now - cpu) / seen.requests * 1e6 if seen.requests else 0.0
                sample = Sample(now - began, now - last, seen, cpu_us, generation(place.admin_port), held)
                record.samples.append(sample)
                show(sample)
                last, cpu = now, cpu_now
                # The last reload has an interval in which to become a generation.
                if now - began >= RELOAD_PERIOD * (record.reloads + 1) and now - began < plan.seconds - plan.interval:
                    record.reloads += 1
                    _reload(place, pid, text, record.reloads)
