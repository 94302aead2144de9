"""The health agent: probes every target on time and tells of each change the moment it is known.

Shape: one scheduler over a heap of due times and a task per probe *in flight*, not a task per target: thousands of
idle targets then cost a small record each and no task, `reconcile` stays a synchronous change of a dict, and the
number of probes in flight has a bound. Starting a probe is a checkpoint, so a burst of due probes grows only as fast
as the loop keeps up, and measured times stay honest when thousands are due together.

Rules
- Everything known is keyed by (service, address) and lost only when the target itself goes.
- New settings never reset a target. If they change what is *asked* (type, path, timeout, expected status), an answer
  to the old question is dropped and the new one is asked at once.
- A timeout while this process itself stood still (`lateness`) is not the instance's failure: it is asked again soon.
  A refusal or a wrong answer counts whenever it comes. No more than MAX_DISCOUNTED in a row are let pass, so an
  overloaded gateway still finds out about a dead instance.
- Callbacks are synchronous, must not block, and may call `reconcile`.
"""

from __future__ import annotations

import heapq
import math
import resource
import time
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from random import Random

import trio

from discovery.settings import HealthSettings, ProbeType
from healthcheck.dial import ProbeNotSent
from healthcheck.lateness import Lateness
from healthcheck.model import Health, Target, Transition, Verdict
from healthcheck.probe_http import HttpProbe
from healthcheck.probe_tcp import TcpProbe
from healthcheck.schedule import next_start
from healthcheck.tracker import Tracker

MAX_IN_FLIGHT = 1000  # probes; hanging targets need timeout/interval of their number
MAX_DISCOUNTED = 2

Probe = Callable[[], Awaitable[Verdict]]


def build_probe(address: str, settings: HealthSettings) -> Probe | None:
    """The probe that the settings ask for; None for type "none"."""
    match settings.type:
        case ProbeType.HTTP:
            return HttpProbe(address, settings)
        case ProbeType.TCP:
            return TcpProbe(address, settings)
        case ProbeType.NONE:
            return None


class _Record:
    """What the agent knows of one target."""

    __slots__ = ("discounted", "due", "flight", "is_gone", "last", "probe", "probes", "started", "target", "tracker")

    def __init__(self, target: Target, settings: HealthSettings, probe: Probe | None) -> None:
        self.target = target
        self.tracker = Tracker(settings)
        self.probe = probe
        self.last: Verdict | None = None
        self.due = math.inf  # trio's clock; -inf: at once
        self.started = -math.inf  # of the latest probe
        self.probes = 0  # probes that gave a verdict
        self.discounted = 0  # in a row
        self.flight: trio.CancelScope | None = None
        self.is_gone = False


class HealthAgent:
    """Probes targets. `on_transition` gets every change of health, `on_result` every verdict that counts, before it."""

    def __init__(
        self,
        on_transition: Callable[[Transition], None],
        on_result: Callable[[Target, Verdict], None],
        *,
        max_in_flight: int | None = None,
        build: Callable[[str, HealthSettings], Probe | None] = build_probe,
        rng: Random | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._on_transition = on_transition
        self._on_result = on_result
        self._build = build
        self._rng = rng or Random()  # noqa: S311 - spreads load, keeps no secret
        self._wall = wall
        self._slots = trio.Semaphore(max_in_flight or default_in_flight())
        self._records: dict[Target, _Record] = {}
        self._heap: list[tuple[float, int, _Record]] = []
        self._order = count()
        self._wake = trio.Event()
        self._lateness = Lateness()

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

    def reconcile(self, targets: Mapping[Target, HealthSettings]) -> None:
        """Probe exactly these targets from now on. May be called before and while `run` runs, from its thread."""
        for target in [target for target in self._records if target not in targets]:
            gone = self._records.pop(target)
            gone.is_gone = True
            if gone.flight is not None:
                gone.flight.cancel()
        exempt: list[_Record] = []
        for target, settings in targets.items():
            record = self._records.get(target)
            if record is None:
                record = self._records[target] = _Record(target, settings, self._build(target.address, settings))
                self._schedule(record, -math.inf)
            elif settings is not record.tracker.settings and settings != record.tracker.settings:
                self._change(record, settings)
            else:
                continue
            if record.probe is None:
                exempt.append(record)
        self._wake.set()
        for record in exempt:  # last: a callback may come back with other targets
            if not record.is_gone and record.probe is None:
                self._tell(record, record.tracker.exempt, "not checked: health type is none")

    async def run(self) -> None:
        """Probe until cancelled. Raises what a callback raises."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._lateness.run)
            while True:
                await self._slots.acquire()
                record = await self._wait_due()
                assert record.probe is not None  # only records with one are scheduled
                record.flight = trio.CancelScope()
                nursery.start_soon(self._fly, record, record.probe, record.flight)

    async def _wait_due(self) -> _Record:
        while True:
            while self._heap and not _is_live(self._heap[0]):
                heapq.heappop(self._heap)
            due = self._heap[0][0] if self._heap else math.inf
            if due <= trio.current_time():
                return heapq.heappop(self._heap)[2]
            self._wake = trio.Event()
            with trio.move_on_at(due):
                await self._wake.wait()

    async def _fly(self, record: _Record, probe: Probe, scope: trio.CancelScope) -> None:
        """One probe and what follows from it."""
        record.started = trio.current_time()
        lost = self._lateness.lost(record.started)
        verdict: Verdict | None = None
        note = ""
        try:
            with scope:
                verdict = await probe()
        except ProbeNotSent as error:
            note = str(error)
        finally:
            self._slots.release()
            record.flight = None
        if record.is_gone:
            return
        if probe is not record.probe:  # the question changed meanwhile
            self._schedule(record, -math.inf)
            return
        now = trio.current_time()
        is_first = record.probes == 0
        if verdict is None:
            record.last = Verdict(ok=False, detail=note, duration=now - record.started)
        elif not self._is_credible(record, verdict, self._lateness.lost(now) - lost):
            verdict = None
        if verdict is not None:
            self._count(record, verdict)
            if record.is_gone or probe is not record.probe:  # a callback reconciled, which has seen to the rest
                return
        self._schedule(record, self._next(record, is_first=is_first, is_settling=verdict is None))

    def _count(self, record: _Record, verdict: Verdict) -> None:
        record.probes += 1
        record.discounted = 0
        record.last = verdict
        self._on_result(record.target, verdict)
        self._tell(record, lambda now: record.tracker.observe(verdict.ok, now), verdict.detail)

    def _tell(self, record: _Record, move: Callable[[float], Health | None], detail: str) -> None:
        """Move the tracker, and tell if its health changed."""
        at = self._wall()
        previous = record.tracker.health
        health = move(at)
        if health is not None:
            self._on_transition(Transition(record.target, previous, health, detail, at))

    def _is_credible(self, record: _Record, verdict: Verdict, lost: float) -> bool:
        """Whether the verdict speaks of the instance rather than of this process standing still for `lost` seconds."""
        timeout = record.tracker.settings.timeout
        if verdict.ok or verdict.duration < timeout or lost <= timeout / 2:
            return True
        record.discounted += 1
        return record.discounted > MAX_DISCOUNTED

    def _change(self, record: _Record, settings: HealthSettings) -> None:
        """New settings for a kept target."""
        is_same_question = _question(record.tracker.settings) == _question(settings)
        record.tracker.settings = settings
        if not is_same_question:
            record.probe = self._build(record.target.address, settings)
            if record.flight is not None:
                record.flight.cancel()
            else:
                self._schedule(record, -math.inf)
        elif record.flight is None and record.due > -math.inf:
            self._schedule(record, self._next(record, is_first=record.probes <= 1, is_settling=False))

    def _next(self, record: _Record, *, is_first: bool, is_settling: bool) -> float:
        return next_start(
            record.started,
            record.tracker.settings.interval,
            self._rng,
            is_first=is_first,
            is_settling=is_settling or record.tracker.is_settling,
        )

    def _schedule(self, record: _Record, due: float) -> None:
        record.due = due
        if record.probe is not None:
            heapq.heappush(self._heap, (due, next(self._order), record))
            self._wake.set()


def default_in_flight() -> int:
    """MAX_IN_FLIGHT, or a quarter of the file descriptors this process may open, if that is fewer."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_IN_FLIGHT if soft == resource.RLIM_INFINITY else max(1, min(MAX_IN_FLIGHT, soft // 4))


def _question(settings: HealthSettings) -> tuple[object, ...]:
    """The settings that decide what a probe asks; the others decide when, and what follows."""
    return settings.type, settings.path, settings.timeout, settings.expected_status


def _is_live(entry: tuple[float, int, _Record]) -> bool:
    """Whether a heap entry is the record's present one: changes leave old entries behind."""
    due, _, record = entry
    return not record.is_gone and record.flight is None and record.probe is not None and record.due == due
