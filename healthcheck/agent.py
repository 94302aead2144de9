"""The health agent: probes every target on time and tells of each change the moment it is known.

Shape: one task, two heaps (what is due, what runs out of time) and a network that carries the probes in flight. A
target costs a small record and no task, `reconcile` stays a synchronous change of a dict, and the number of probes in
flight has a bound. A turn of the task takes a bounded number of steps, so a burst of due probes grows only as fast as
the loop keeps up, and measured times stay honest when thousands are due together.

Rules
- Everything known is keyed by (service, address) and lost only when the target itself goes.
- New settings never reset a target. If they change what is *asked* (anything but interval and thresholds), an answer
  to the old question is dropped and the new one is asked at once.
- What has arrived is read before anything is called too late: an answer that waited here for the CPU is an answer.
- Silence or a break while this process itself stood still (`lateness`) is not the instance's failure: it is asked
  again soon. A refusal or a wrong answer counts whenever it comes. No more than MAX_DISCOUNTED in a row are let pass,
  so an overloaded gateway still finds out about a dead instance.
- Callbacks are synchronous, must not block, and may call `reconcile`.
"""

from __future__ import annotations

import heapq
import math
import resource
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from itertools import count
from random import Random
from typing import TypeAlias

import trio

from discovery.settings import HealthSettings
from healthcheck.common_failure import CommonFailure
from healthcheck.conversation import Kind, Outcome, Probe
from healthcheck.fault import timed_out
from healthcheck.lateness import BEAT, Lateness
from healthcheck.model import Health, Target, Transition, Verdict
from healthcheck.question import build_probe
from healthcheck.schedule import JITTER, earliest_start, next_start
from healthcheck.tracker import Tracker
from healthcheck.wire import Flight, Network, Wire

MAX_IN_FLIGHT = 4000  # probes; hanging targets need timeout/interval of their number
MAX_DISCOUNTED = 2
BURST = 32  # probes started in one turn


class Record:
    """What the agent knows of one target. Times are trio's."""

    __slots__ = (
        "discounted", "due", "flight", "is_gone", "is_spread", "last", "lost", "probe", "started", "target", "tracker",
    )  # fmt: skip

    def __init__(self, target: Target, settings: HealthSettings, probe: Probe | None) -> None:
        self.target = target
        self.tracker = Tracker(settings)
        self.probe = probe
        self.last: Verdict | None = None
        self.due = math.inf  # -inf: at once
        self.started = -math.inf  # of the latest probe
        self.lost = 0.0  # `lateness` when it started
        self.is_spread = False  # among all the others that came, or got their interval, with it
        self.discounted = 0  # in a row
        self.flight: Flight[Record] | None = None
        self.is_gone = False


ProbeFlight: TypeAlias = Flight[Record]


class HealthAgent:
    """Probes targets. `on_transition` gets every change of health, `on_result` every verdict that counts, before it.

    `on_trouble` gets what `trouble` says, whenever it becomes another kind of trouble. `recall` says what is known of
    a target that comes, from before this agent was.
    """

    def __init__(
        self,
        on_transition: Callable[[Transition], None],
        on_result: Callable[[Target, Verdict], None],
        on_trouble: Callable[[str], None],
        *,
        max_in_flight: int | None = None,
        recall: Callable[[Target], Health] = lambda _target: Health.UNKNOWN,
        build: Callable[[str, HealthSettings], Probe | None] = build_probe,
        network: Network[Record] | None = None,
        rng: Random | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._on_transition = on_transition
        self._on_result = on_result
        self._on_trouble = on_trouble
        self._recall = recall
        self._build = build
        self._network: Network[Record] = network or Wire()
        self._rng = rng or Random()  # noqa: S311 - spreads load, keeps no secret
        self._wall = wall
        self._max_in_flight = max_in_flight or default_in_flight()
        self._in_flight = 0
        self._records: dict[Target, Record] = {}
        self._starts: list[tuple[float, int, Record]] = []  # a heap, old entries left behind by changes included
        self._ends: list[tuple[float, int, ProbeFlight]] = []  # another, of when flights are too late
        self._order = count()
        self._lateness = Lateness()
        self._common = CommonFailure()
        self._unsent: dict[Target, str] = {}  # those whose latest probe could not be sent, and why
        self._told = (False, False)  # kinds of trouble: see `_tell_trouble`

    def __repr__(self) -> str:
        return f"<HealthAgent {len(self._records)} targets>"

    def health(self, target: Target) -> Health:
        """What is known of the target; UNKNOWN for one that is not probed here."""
        record = self._records.get(target)
        return record.tracker.health if record else Health.UNKNOWN

    def last(self, target: Target) -> Verdict | None:
        """The latest verdict, None before the first; one that could not be sent is shown until the next."""
        record = self._records.get(target)
        return record.last if record else None

    @property
    def trouble(self) -> str:
        """What is wrong on the gateway's own side: nearly all targets fail at once, or probes cannot be sent; or ""."""
        unsent = next(iter(self._unsent.values()), "")
        lacking = f"{len(self._unsent)} of {len(self._records)} instances cannot be probed: {unsent}" if unsent else ""
        return "; ".join(text for text in (self._common.text, lacking) if text)

    def reconcile(self, targets: Mapping[Target, HealthSettings], among: Collection[Target] | None = None) -> None:
        """Probe exactly these targets from now on. May be called before and while `run` runs, from its thread.

        `among`: only these may have come, gone or changed since the last call (None: any).
        """
        if among is None:
            among = (*(self._records.keys() - targets.keys()), *targets)
        exempt: list[Record] = []
        for target in among:
            record, settings = self._records.get(target), targets.get(target)
            if settings is None:
                if record is not None:
                    self._remove(record)
                continue
            if record is None:
                record = self._records[target] = Record(target, settings, self._build(target.address, settings))
                record.tracker.health = self._recall(target)
                self._schedule(record, -math.inf)
            elif settings is not record.tracker.settings and settings != record.tracker.settings:
                self._change(record, settings)
            else:
                continue
            if record.probe is None:
                exempt.append(record)
                self._common.forget(target)
                self._unsent.pop(target, None)
        self._network.wake()
        for record in exempt:  # last: a callback may come back with other targets
            if not record.is_gone and record.probe is None:
                self._tell(record, record.tracker.exempt, "not checked: health type is none")
        self._tell_trouble()

    def _remove(self, record: Record) -> None:
        del self._records[record.target]
        record.is_gone = True
        self._stop(record)
        self._common.forget(record.target)
        self._unsent.pop(record.target, None)

    async def run(self) -> None:
        """Probe until cancelled. Raises what a callback raises."""
        try:
            while True:
                if self._turn():
                    wanted = self._next_time()
                    await self._network.wait(wanted)
                else:
                    wanted = trio.current_time()
                    await trio.lowlevel.checkpoint()
                self._lateness.woke(wanted, trio.current_time())
        finally:
            self._network.close()

    def _turn(self) -> bool:
        """What can be done now, or some of it; True if that was all."""
        landed, is_all_read = self._network.collect()
        for flight in landed:
            if flight.key.flight is flight:
                assert flight.outcome is not None
                self._land(flight, flight.outcome)
        now = trio.current_time()
        if is_all_read:
            self._expire(now)
        return self._start_due(now) and is_all_read

    def _expire(self, now: float) -> None:
        """End the flights whose time is over."""
        ends = self._ends
        while ends and ends[0][0] <= now:
            flight = heapq.heappop(ends)[2]
            if flight.key.flight is flight:
                self._network.stop(flight)
                self._land(flight, timed_out(flight.key.tracker.settings.timeout))

    def _start_due(self, now: float) -> bool:
        """Send what is due, BURST at the most; True if that was all that can be sent now."""
        for _ in range(BURST):
            record = self._next_due()
            if record is None or self._in_flight >= self._max_in_flight:
                return True
            if record.due > now and earliest_start(record.started, record.due) > now:
                return True
            heapq.heappop(self._starts)
            assert record.probe is not None  # only records with one are scheduled
            record.started = trio.current_time()
            record.lost = self._lateness.lost
            record.flight = self._network.start(record, record.probe)
            self._in_flight += 1
            latest = record.started + record.tracker.settings.timeout
            heapq.heappush(self._ends, (latest, next(self._order), record.flight))
        return False

    def _next_due(self) -> Record | None:
        """The record at the top of the heap, once entries left behind are gone from there."""
        starts = self._starts
        while starts:
            due, _, record = starts[0]
            if record.due == due and record.flight is None and record.probe is not None and not record.is_gone:
                return record
            heapq.heappop(starts)
        return None

    def _next_time(self) -> float:
        """When the next turn has something to do, if nothing arrives."""
        while self._ends and self._ends[0][2].key.flight is not self._ends[0][2]:
            heapq.heappop(self._ends)
        times = [self._ends[0][0], trio.current_time() + BEAT] if self._ends else [math.inf]
        record = self._next_due()
        if record is not None and self._in_flight < self._max_in_flight:
            times.append(record.due)
        return min(times)

    def _land(self, flight: ProbeFlight, outcome: Outcome) -> None:
        """A probe has ended: what follows from it."""
        record, probe = flight.key, flight.key.probe
        record.flight = None
        self._in_flight -= 1
        now = trio.current_time()
        lost = self._lateness.lost - record.lost
        verdict = Verdict(outcome.ok, outcome.detail(now - record.started), now - record.started)
        counts = False
        if outcome.kind is Kind.NOT_SENT:
            record.last = verdict
            self._unsent[record.target] = outcome.text
            self._tell_trouble()
        elif counts := self._is_credible(record, outcome, lost):
            self._count(record, verdict, now)
            if record.is_gone or probe is not record.probe:  # a callback reconciled, which has seen to the rest
                return
        self._schedule(record, self._next(record, is_settling=record.tracker.is_settling or not counts))

    def _count(self, record: Record, verdict: Verdict, now: float) -> None:
        record.discounted = 0
        record.last = verdict
        settings = record.tracker.settings
        self._unsent.pop(record.target, None)
        self._common.observe(record.target, verdict.ok, now, settings.interval * (1.0 + JITTER) + settings.timeout)
        self._on_result(record.target, verdict)
        self._tell(record, lambda at: record.tracker.observe(verdict.ok, at), verdict.detail)
        self._tell_trouble()

    def _tell(self, record: Record, move: Callable[[float], Health | None], detail: str) -> None:
        """Move the tracker, and tell if its health changed."""
        at = self._wall()
        previous = record.tracker.health
        health = move(at)
        if health is not None:
            self._on_transition(Transition(record.target, previous, health, detail, at))

    def _tell_trouble(self) -> None:
        kinds = (self._common.is_on, bool(self._unsent))
        if kinds != self._told:
            self._told = kinds
            self._on_trouble(self.trouble)

    def _is_credible(self, record: Record, outcome: Outcome, lost: float) -> bool:
        """Whether the outcome speaks of the instance rather than of this process standing still for `lost` seconds."""
        if outcome.ok or outcome.kind is not Kind.BREAK or lost <= record.tracker.settings.timeout / 2:
            return True
        record.discounted += 1
        return record.discounted > MAX_DISCOUNTED

    def _change(self, record: Record, settings: HealthSettings) -> None:
        """New settings for a kept target."""
        is_same_question = _question(record.tracker.settings) == _question(settings)
        interval = record.tracker.settings.interval
        record.tracker.settings = settings
        if not is_same_question:
            record.probe = self._build(record.target.address, settings)
            self._stop(record)
            self._schedule(record, -math.inf)
        elif settings.interval != interval:
            record.is_spread = False
            if record.flight is None and record.due > -math.inf:
                now = trio.current_time()
                self._schedule(record, min(record.due, now + settings.interval * self._rng.random()))

    def _stop(self, record: Record) -> None:
        """Take back the probe in flight, if there is one."""
        if record.flight is not None:
            self._network.stop(record.flight)
            record.flight = None
            self._in_flight -= 1

    def _next(self, record: Record, *, is_settling: bool) -> float:
        is_first = not record.is_spread
        record.is_spread |= not is_settling
        interval = record.tracker.settings.interval
        return next_start(record.started, interval, self._rng, is_first=is_first, is_settling=is_settling)

    def _schedule(self, record: Record, due: float) -> None:
        record.due = due
        if record.probe is not None:
            heapq.heappush(self._starts, (due, next(self._order), record))


def default_in_flight() -> int:
    """MAX_IN_FLIGHT, or a quarter of the file descriptors this process may open, if that is fewer."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_IN_FLIGHT if soft == resource.RLIM_INFINITY else max(1, min(MAX_IN_FLIGHT, soft // 4))


_ANY = HealthSettings()


def _question(settings: HealthSettings) -> HealthSettings:
    """The settings as far as they decide what a probe asks; the others decide when, and what follows."""
    return replace(
        settings,
        interval=_ANY.interval,
        healthy_threshold=_ANY.healthy_threshold,
        unhealthy_threshold=_ANY.unhealthy_threshold,
    )
