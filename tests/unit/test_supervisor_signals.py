"""`gateway.supervisor.signals`: which signal asks for what."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import trio

from gateway.supervisor.signals import watch_signals


class Recorder:
    """Writes down what was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def drain(self) -> None:
        self.asked.append("drain")

    def stop_now(self) -> None:
        self.asked.append("stop now")

    def request_reload(self) -> None:
        self.asked.append("reload")

    def reopen_logs(self) -> None:
        self.asked.append("reopen logs")

    def upgrade(self) -> None:
        self.asked.append("upgrade")


async def wait_until(claim: Callable[[], bool]) -> None:
    with trio.fail_after(5):
        while not claim():
            await trio.sleep(0.001)


async def test_every_signal_has_its_meaning_and_a_second_stop_means_now(nursery: trio.Nursery) -> None:
    recorder = Recorder()
    await nursery.start(watch_signals, recorder)
    for count, number in enumerate((signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM, signal.SIGINT), start=1):
        os.kill(os.getpid(), number)
        await wait_until(lambda count=count: len(recorder.asked) == count)  # type: ignore[misc]
    assert recorder.asked == ["reload", "reopen logs", "drain", "stop now"]
