"""The scenarios by name, each on a stage of its own: what `make events` runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.events import consul_events
from benchmarks.events.figures import Row, Times, failures
from benchmarks.events.instance_events import PAIRS, run_pair, run_weights
from benchmarks.events.stage import Stage, stage
from benchmarks.rig.consul import SINGLE, Consul, cluster


@dataclass(frozen=True, slots=True)
class Options:
    """How much of it."""

    command: str
    workers: int
    rate: float
    repetitions: int  # of what takes a second; a quarter of it for what takes several
    outage: float  # seconds for which Consul is away
    cycles: int
    grace: float  # removal_grace, in seconds

    @property
    def few(self) -> int:
        """Repetitions of what takes several seconds."""
        return max(1, self.repetitions // 4)


Played = tuple[int, Times, list[str]]
"""Repetitions, times, notes."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """`play` runs on the stage that `build` makes."""

    title: str
    play: Callable[[Stage, Options], Played]
    keeps: bool = False  # Consul is a server with a disk, not a dev agent
    refuses: bool = False  # for a while no gateway listens: what is refused then is no fault of one


def _pair(name: str, stage: Stage, options: Options) -> Played:
    pair = PAIRS[name]
    count = options.few if pair.is_silent or name == "health-503" else options.repetitions
    return count, run_pair(stage, pair, count), []


def _weights(stage: Stage, options: Options) -> Played:
    count = max(1, options.repetitions // 2)
    return 2 * count, run_weights(stage, count), []


def _stopped(stage: Stage, options: Options) -> Played:
    return 1, *consul_events.consul_stopped(stage, options.outage)


def _stopped_http(stage: Stage, options: Options) -> Played:
    return 1, *consul_events.consul_stopped_http(stage, min(options.outage, 5.0))


def _empty(stage: Stage, options: Options) -> Played:
    return 1, *consul_events.consul_empty(stage, options.grace)


def _restarted(stage: Stage, options: Options) -> Played:
    return 1, *consul_events.gateway_restarted(stage)


def _replaced(stage: Stage, options: Options) -> Played:
    return 1, *consul_events.gateway_replaced(stage)


def _cycles(stage: Stage, options: Options) -> Played:
    return 1, *consul_events.cycles(stage, options.cycles)


SCENARIOS = {
    "register": Scenario("registered; deregistered", partial(_pair, "register")),
    "critical": Scenario("Consul check critical; passing again", partial(_pair, "critical")),
    "maintenance": Scenario("maintenance; over", partial(_pair, "maintenance")),
    "weight": Scenario("weight 1 to 5; back to 1", _weights),
    "health-503": Scenario("/health answers 503; 200 again", partial(_pair, "health-503")),
    "kill": Scenario("kill -9; started again", partial(_pair, "kill")),
    "hang": Scenario("SIGSTOP; SIGCONT", partial(_pair, "hang")),
    "consul-stop": Scenario("Consul stopped; started", _stopped, keeps=True),
    "consul-stop-http": Scenario("the same, Consul's own HTTP checks", _stopped_http, keeps=True),
    "consul-empty": Scenario("Consul restarted empty", _empty),
    "leader": Scenario("leader of three killed", lambda stage, options: (0, Times(), [])),
    "restart": Scenario("gateway ended and started while Consul is down", _restarted, refuses=True),
    "replace": Scenario("`gw up --replace` while Consul is down", _replaced),
    "cycles": Scenario("register and deregister, many times", _cycles),
}


def run(name: str, options: Options, folder: Path) -> Row:
    """Play one scenario from an empty folder. Raises Stuck when something does not come true in time."""
    scenario = SCENARIOS[name]
    with _build(name, options, folder) as (built, play):
        repetitions, times, notes = play(built, options)
        report = built.load.stop()
    idempotent, others = failures(report)
    return Row(
        name=name,
        title=scenario.title,
        repetitions=repetitions,
        times=times,
        sent=sum(report.sent.values()),
        idempotent=idempotent,
        others=others,
        slowest_ms=max(report.latencies, default=0.0) * 1000,
        notes=notes,
    )


@contextmanager
def _build(name: str, options: Options, folder: Path) -> Iterator[tuple[Stage, Callable[[Stage, Options], Played]]]:
    make = partial(
        stage,
        folder,
        command=options.command,
        workers=options.workers,
        rate=options.rate,
        grace=options.grace,
    )
    if name == "leader":
        with cluster(folder) as (client, servers), make(client) as built:
            yield (
                built,
                lambda stage, options: (
                    options.few,
                    *consul_events.leader_lost(stage, servers, options.few),
                ),
            )
        return
    scenario = SCENARIOS[name]
    consul = Consul(folder, role="server", config=SINGLE) if scenario.keeps else Consul(folder)
    with consul, make(consul) as built:
        yield built, scenario.play
