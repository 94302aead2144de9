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
