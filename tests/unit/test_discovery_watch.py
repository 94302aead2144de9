"""The rules of a blocking query loop, on a clock that jumps."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TypeAlias

import trio
from trio.testing import MockClock

from discovery.consul_sd.client import ConsulClient, Reply
from discovery.consul_sd.decode import DecodeError
from discovery.consul_sd.errors import ConsulError, Forbidden, Unreachable
from discovery.consul_sd.watch import watch
from discovery.settings import ConsulSettings

Step: TypeAlias = "int | ConsulError"  # the index of the next answer, or how it fails


class Script:
    """Answers queries by a script, then hangs; keeps what was asked, when, and what was told."""

    def __init__(self, *steps: Step, on_reply: Callable[[Reply], None] = lambda reply: None) -> None:
        self.steps = list(steps)
        self.asked: list[int] = []
        self.asked_at: list[float] = []
        self.unbroken: list[bool] = []
        self.failures: list[str] = []
        self.on_reply = on_reply
        self.is_over = trio.Event()

    async def query(self, client: ConsulClient, index: int) -> Reply:
        await trio.lowlevel.checkpoint()
        self.asked.append(index)
        self.asked_at.append(trio.current_time())
        if not self.steps:
            self.is_over.set()
            await trio.sleep_forever()
        step = self.steps.pop(0)
        if isinstance(step, ConsulError):
            raise step
        return Reply(step, [])

    def replied(self, reply: Reply, is_unbroken: bool) -> None:
        self.on_reply(reply)
        self.unbroken.append(is_unbroken)

    def failed(self, error: ConsulError) -> None:
        self.failures.append(str(error))

    async def play(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                watch, lambda: ConsulClient(ConsulSettings()), self.query, self.replied, self.failed, Random(1)
            )
            await self.is_over.wait()
            nursery.cancel_scope.cancel()


async def test_each_query_carries_the_index_of_the_answer_before(autojump_clock: MockClock) -> None:
    script = Script(5, 6, 6, 9)
    await script.play()
    assert script.asked == [0, 5, 6, 6, 9]
    assert script.unbroken == [False, True, True, True]


async def test_an_answer_with_the_index_that_was_asked_with_is_a_repeat(autojump_clock: MockClock) -> None:
    repeats: list[bool] = []
    script = Script(5, 6, 6, 9, on_reply=lambda reply: repeats.append(reply.is_repeat))
    await script.play()
    assert repeats == [False, False, True, False]


async def test_an_index_that_goes_back_breaks_the_chain_and_starts_anew(autojump_clock: MockClock) -> None:
    script = Script(50, 7, 7, 8)
    await script.play()
    assert script.asked == [0, 50, 0, 7, 8]
    assert script.unbroken == [False, False, False, True]


async def test_a_failure_breaks_the_chain_and_is_retried_for_ever(autojump_clock: MockClock) -> None:
    script = Script(5, *[Unreachable("refused")] * 20, 5, 6)
    await script.play()
    assert script.asked == [0, 5, *[0] * 20, 5, 6]
    assert script.unbroken == [False, False, True]
    assert script.failures == ["refused"] * 20
    gaps = [later - before for before, later in zip(script.asked_at, script.asked_at[1:], strict=False)]
    assert gaps[1] <= 0.2
    assert max(gaps) <= 6.0


async def test_forbidden_and_crowded_are_not_asked_again_soon(autojump_clock: MockClock) -> None:
    for error in (Forbidden("ACL not found"), Unreachable("closed", crowded=True)):
        script = Script(error)
        await script.play()
        assert script.asked_at[1] - script.asked_at[0] >= 2.5


async def test_an_answer_that_is_not_understood_is_a_failure(autojump_clock: MockClock) -> None:
    def refuse(reply: Reply) -> None:
        if reply.index == 6:
            raise DecodeError("malformed")

    script = Script(5, 6, 7, on_reply=refuse)
    await script.play()
    assert script.asked == [0, 5, 0, 7]
    assert script.failures == ["Consul: malformed"]


async def test_a_flood_of_answers_is_slowed_to_one_a_second(autojump_clock: MockClock) -> None:
    script = Script(*range(1, 41))
    started = trio.current_time()
    await script.play()
    assert script.asked_at[1] == started  # the first change passes at once
    assert script.asked_at[-1] - script.asked_at[-2] >= 0.9
