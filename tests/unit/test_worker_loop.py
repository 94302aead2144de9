"""The worker's loop: what has arrived comes before what is late."""

from __future__ import annotations

import os
import select
import time

import pytest

from gateway.proxy.deadlines import Alarm
from gateway.worker import loop as module
from gateway.worker.loop import Loop
from tests.proxy_harness import World

EVENTS = 2  # of a batch here


class Ready:
    """Something that has an event, once."""

    def __init__(self, loop: Loop, order: list[str], *, is_lasting: bool = False) -> None:
        self.fd = os.eventfd(1, os.EFD_NONBLOCK)
        self._order = order
        self._is_lasting = is_lasting
        loop.register(self, select.EPOLLIN)

    def on_event(self, mask: int) -> None:
        self._order.append("event")
        if not self._is_lasting:
            os.eventfd_read(self.fd)


@pytest.mark.parametrize("is_lasting", [False, True])
def test_all_that_arrived_is_read_before_deadlines_are_called(
    monkeypatch: pytest.MonkeyPatch, is_lasting: bool
) -> None:
    monkeypatch.setattr(module, "_EVENTS", EVENTS)
    order: list[str] = []
    with World() as world:
        loop = Loop(world.ctx, lambda: None, lambda: None)
        ready = [Ready(loop, order, is_lasting=is_lasting) for _ in range(5)]
        alarm = Alarm(lambda now: order.append("late"))
        world.ctx.deadlines.arm(alarm, time.monotonic() - 1.0)
        loop.turn(0.2)
        for each in ready:
            os.close(each.fd)
        loop.close()
    before = order.index("late")
    if is_lasting:  # without end: deadlines are not put off for ever
        assert 5 <= before <= (module._PUT_OFF + 1) * EVENTS
    else:
        assert before == 5


class Sleeper(Ready):
    """Stands still while it handles its event, then begins what may take until a second later."""

    def __init__(self, loop: Loop, order: list[str], clock: Clock) -> None:
        super().__init__(loop, order)
        self._loop = loop
        self._clock = clock
        self.late = Alarm(lambda now: order.append("late"))

    def on_event(self, mask: int) -> None:
        self._clock.skip(7.0)
        self._loop.ctx.deadlines.arm(self.late, self._loop.ctx.now + 1.0)  # by the clock as read before
        super().on_event(mask)


class Clock:
    """The machine's, which can be set ahead."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._real = time.monotonic
        self._ahead = 0.0
        monkeypatch.setattr(time, "monotonic", self)

    def __call__(self) -> float:
        return self._real() + self._ahead

    def skip(self, seconds: float) -> None:
        self._ahead += seconds


def test_what_is_begun_by_an_old_clock_has_all_its_time_after_a_standstill(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    order: list[str] = []
    with World() as world:
        loop = Loop(world.ctx, lambda: None, lambda: None)
        sleeper = Sleeper(loop, order, clock)
        for _ in range(3):
            loop.turn(0.02)
        assert order == ["event"]
        assert world.ctx.deadlines.next_at() > clock() + 0.5
        clock.skip(0.9)  # a second of running since, in parts that are no standstill
        loop.turn(0.02)
        clock.skip(0.2)
        loop.turn(0.02)
        assert order == ["event", "late"]
        os.close(sleeper.fd)
        loop.close()
        assert [each for each in world.reports if "did not run" in each]
        world.reports.clear()
