"""A health agent whose probes are scripted, for a clock that jumps: what it sent, and what it told."""

from __future__ import annotations

import heapq
import math
import socket
from collections.abc import Callable
from itertools import count
from random import Random

import trio

from discovery.settings import HealthSettings, ProbeType
from healthcheck.agent import HealthAgent, Record
from healthcheck.conversation import Conversation, Kind, Outcome, Probe
from healthcheck.model import Target, Transition
from healthcheck.wire import Flight

ONE = Target("users", "127.0.0.1:9001")
TWO = Target("users", "127.0.0.1:9002")

Script = Callable[[], Outcome]


def passed() -> Outcome:
    return Outcome(ok=True, text="200", kind=Kind.ANSWER)


def refused() -> Outcome:
    return Outcome(ok=False, text="connection refused", kind=Kind.REFUSAL)


def broke() -> Outcome:
    return Outcome(ok=False, text="closed without an answer", kind=Kind.BREAK)


def lacking() -> Outcome:
    return Outcome(ok=False, text="not sent: too many open files on the gateway's machine", kind=Kind.NOT_SENT)


class ScriptedNetwork:
    """Every probe ends `takes` seconds after it was sent, as `answers` says for its address."""

    def __init__(self, takes: float) -> None:
        self.takes = takes
        self.answers: dict[str, Script] = {}
        self.sent: list[tuple[str, str, float]] = []  # address, path, time since the start
        self.in_flight: set[Flight[Record]] = set()
        self.most_in_flight = 0
        self.is_closed = False
        self._began = trio.current_time()
        self._order = count()
        self._ends: list[tuple[float, int, Flight[Record]]] = []
        self._woken = trio.Event()

    def start(self, key: Record, probe: Probe) -> Flight[Record]:
        now = trio.current_time()
        self.sent.append((key.target.address, key.tracker.settings.path, now - self._began))
        flight = Flight(key, probe.address)
        self.in_flight.add(flight)
        self.most_in_flight = max(self.most_in_flight, len(self.in_flight))
        heapq.heappush(self._ends, (now + self.takes, next(self._order), flight))
        return flight

    def stop(self, flight: Flight[Record]) -> None:
        self.in_flight.discard(flight)

    def collect(self) -> tuple[list[Flight[Record]], bool]:
        ended = []
        while self._ends and self._ends[0][0] <= trio.current_time():
            flight = heapq.heappop(self._ends)[2]
            if flight in self.in_flight:
                self.in_flight.remove(flight)
                flight.outcome = self.answers.get(flight.key.target.address, passed)()
                ended.append(flight)
        return ended, True

    async def wait(self, until: float) -> None:
        self._woken = trio.Event()
        with trio.move_on_at(min(until, self._ends[0][0] if self._ends else math.inf)):
            await self._woken.wait()

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None:
        self.is_closed = True


class Lab:
    """An agent on a ScriptedNetwork. Times are trio's, from the start."""

    def __init__(self, *, takes: float = 0.01, max_in_flight: int = 100) -> None:
        self.network = ScriptedNetwork(takes)
        self.transitions: list[Transition] = []
        self.results: list[tuple[Target, bool]] = []
        self.troubles: list[str] = []
        self.agent = self.make(self.transitions.append, max_in_flight)

    def make(self, on_transition: Callable[[Transition], None], max_in_flight: int = 100) -> HealthAgent:
        """An agent of its own choice of listener."""
        return HealthAgent(
            on_transition,
            lambda target, verdict: self.results.append((target, verdict.ok)),
            self.troubles.append,
            build=build,
            network=self.network,
            rng=Random(1),
            wall=trio.current_time,
            max_in_flight=max_in_flight,
        )

    @property
    def answers(self) -> dict[str, Script]:
        return self.network.answers

    @property
    def sent(self) -> list[tuple[str, str, float]]:
        return self.network.sent

    def times(self, target: Target) -> list[float]:
        """When probes of the target were sent."""
        return [time for address, _, time in self.sent if address == target.address]

    def story(self) -> list[str]:
        return [f"{t.target.address[-4:]} {t.previous}->{t.health}: {t.detail}" for t in self.transitions]


def build(address: str, settings: HealthSettings) -> Probe | None:
    """As `question.build_probe`, with nothing to say."""
    if settings.type is ProbeType.NONE:
        return None
    host, _, port = address.rpartition(":")
    return Probe(socket.AF_INET, (host, int(port)), _never)


def _never() -> Conversation:
    raise AssertionError("a scripted network holds no conversation")
