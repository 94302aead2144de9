"""Events of one instance: it comes, goes, is taken out, gets a weight, dies, hangs. Each is undone and repeated."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.events.figures import (
    Times,
    change_after,
    first_attempts,
    is_used,
    last_attempt_ms,
    last_ms,
    used_ms,
)
from benchmarks.events.stage import SERVICE, TTL, Instance, Stage
from benchmarks.rig.children import Stuck
from benchmarks.rig.shared import Instances
from gateway.snapshot.model import Standby

REST = (0.4, 0.7)  # seconds between two events, so that none shares a publication or a rate limit with the one before
SETTLE = 0.15  # seconds after the workers know, in which a late request would show


@dataclass(frozen=True, slots=True)
class Pair:
    """An event that takes an instance out, and the one that brings it back (or adds it first)."""

    out: Callable[[Stage, Instance], None]
    back: Callable[[Stage, Instance], None]
    is_spare: bool = False  # the instance is not registered at first, and `back` comes first
    is_silent: bool = False  # it cannot tell what arrived: the workers' own count of attempts has to do
    needs_unhealthy: bool = False  # brought back only once the probes have seen it gone


def rest() -> None:
    """A pause of no fixed length."""
    time.sleep(random.uniform(*REST))


def run_pair(stage: Stage, pair: Pair, repetitions: int) -> Times:
    """The event and its opposite, again and again."""
    times = Times()
    for _ in range(repetitions):
        instance = stage.spare if pair.is_spare else stage.instances[1]
        rest()
        if pair.is_spare:
            _bring(stage, pair, instance, times)
            rest()
        _take(stage, pair, instance, times)
        if not pair.is_spare:
            rest()
            _bring(stage, pair, instance, times)
            _pardon(stage, instance.address)
    return times


def _pardon(stage: Stage, address: str) -> None:
    """Let an instance off its flaps, as an operator does: the fourth fall within minutes would hold it for seconds."""
    for action in ("drain", "undrain"):
        status, said = stage.gateway.post(f"/api/{action}", {"service": SERVICE, "instance": address})
        if status != 200:
            raise Stuck(f"{action} of {address}: {status} {said!r}")
        time.sleep(SETTLE)


def _take(stage: Stage, pair: Pair, instance: Instance, times: Times) -> None:
    address = instance.address
    stage.observer.restart()
    if not pair.is_silent:
        instance.seen()
    event = time.monotonic()
    pair.out(stage, instance)
    await_use(stage, event, lambda found: not _takes_traffic(found, address), f"{address} is out")
    if pair.needs_unhealthy:
        stage.wait(lambda: stage.observer.instances[address].standby is Standby.UNHEALTHY, f"{address} is unhealthy")
    time.sleep(SETTLE)
    history = stage.observer.history()
    change = change_after(history, event, lambda found: not _takes_traffic(found, address))
    assert change is not None
    times.out.append(used_ms(change, event))
    if pair.is_silent:
        times.last.append(last_attempt_ms(history, address, event, time.monotonic()))
    else:
        times.last.append(last_ms(instance.seen(), event))


def _bring(stage: Stage, pair: Pair, instance: Instance, times: Times) -> None:
    address = instance.address
    stage.observer.restart()
    event = time.monotonic()
    pair.back(stage, instance)
    times.into.append(await_use(stage, event, lambda found: _takes_traffic(found, address), f"{address} is in"))
    times.first.append(await_first(stage, address, event))


def await_use(stage: Stage, event: float, claim: Callable[[Instances], bool], what: str) -> float:
    """Milliseconds from the event until every worker uses a snapshot for which the claim holds."""
    stage.wait(
        lambda: is_used(change_after(stage.observer.history(), event, claim)), f"in every worker: {what}", timeout=60
    )
    change = change_after(stage.observer.history(), event, claim)
    assert change is not None
    return used_ms(change, event)


def await_first(stage: Stage, address: str, event: float) -> float:
    """Milliseconds from the event until every worker has sent a request to the address."""
    rows = stage.gateway.workers
    stage.wait(
        lambda: len(first_attempts(stage.observer.history(), address, event)) == rows, f"{rows} workers use {address}"
    )
    return (max(first_attempts(stage.observer.history(), address, event).values()) - event) * 1000


def _takes_traffic(found: Instances, address: str) -> bool:
    return address in found and found[address].eligible


def run_weights(stage: Stage, repetitions: int) -> Times:
    """Its weight from 1 to 5, and back to 1: nothing goes, so only when every worker uses the new weight."""
    times, address = Times(), stage.instances[1].address
    for weight in [5, 1] * repetitions:
        rest()
        stage.observer.restart()
        event = time.monotonic()
        stage.consul.register(SERVICE, address, weight=weight, check=TTL)
        times.into.append(
            await_use(stage, event, lambda found, w=weight: found[address].weight == w, f"weight {weight}")  # type: ignore[misc]
        )
        times.first.append(await_first(stage, address, event + times.into[-1] / 1000))
        times.first[-1] += times.into[-1]
    return times


def _register(stage: Stage, instance: Instance) -> None:
    stage.consul.register(SERVICE, instance.address, check=TTL)


PAIRS = {
    "register": Pair(
        out=lambda stage, each: stage.consul.deregister(SERVICE, each.address), back=_register, is_spare=True
    ),
    "critical": Pair(
        out=lambda stage, each: stage.consul.set_check(SERVICE, each.address, "critical"),
        back=lambda stage, each: stage.consul.set_check(SERVICE, each.address, "passing"),
    ),
    "maintenance": Pair(
        out=lambda stage, each: stage.consul.maintain(SERVICE, each.address, enable=True),
        back=lambda stage, each: stage.consul.maintain(SERVICE, each.address, enable=False),
    ),
    "health-503": Pair(
        out=lambda _, each: each.set_health(503),
        back=lambda _, each: each.set_health(200),
    ),
    "kill": Pair(
        out=lambda _, each: each.kill(),
        back=lambda _, each: each.start(),
        is_silent=True,
        needs_unhealthy=True,
    ),
    "hang": Pair(
        out=lambda _, each: each.signal(signal.SIGSTOP),
        back=lambda _, each: each.signal(signal.SIGCONT),
        is_silent=True,
        needs_unhealthy=True,
    ),
}
