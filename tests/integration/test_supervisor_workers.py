"""Worker processes under `gateway.supervisor.workers`, with a stand-in that speaks the control protocol.

The stand-in obeys a small script: it makes every way of dying cheap to produce. What the real
worker does is tested with the whole gateway.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog
import trio

from gateway.control import EXIT_CANNOT_BOOT, WorkerSpec
from gateway.handover.sockets import new_group
from gateway.shm import memory, rings
from gateway.shm.layout import R_CONNECTIONS_TOTAL, row_word
from gateway.shm.ledger import Ledger, ledger_bytes
from gateway.supervisor.listeners import open_listeners
from gateway.supervisor.restart import Patience
from gateway.supervisor.workers import WorkerPool
from healthcheck.model import Target

STAND_IN = """
import json, mmap, os, signal, socket, sys, time
spec = json.loads(sys.argv[1])
control = socket.socket(fileno=spec["control"])
words = memoryview(mmap.mmap(spec["ledger"], 0)).cast("Q")
row = {row}
def tell(kind, **fields):
    control.send(json.dumps(dict(tell=kind, **fields)).encode())
def beat():
    words[row] = time.monotonic_ns()
def ready():
    beat()
    words[row + 7] += 1
    tell("ready")
def serve():
    while True:
        packet = control.recv(4096)
        if not packet or json.loads(packet)["tell"] in ("drain", "stop"):
            sys.exit(0)
        tell("log", level="info", event="told", fields=dict(what=json.loads(packet)["tell"]))
{script}
"""


def stand_in(script: str) -> Callable[[WorkerSpec], Sequence[str]]:
    def command(spec: WorkerSpec) -> Sequence[str]:
        code = STAND_IN.replace("{row}", str(row_word(spec.worker, 0))).replace("{script}", script)
        return (sys.executable, "-S", "-c", code, spec.to_json())

    return command


class Gang:
    """A pool under test, with what it needs."""

    def __init__(self, script: str, workers: int, drain_timeout: float, patience: Patience | None) -> None:
        self.stories_fd = memory.create("stories", rings.rings_bytes(workers))
        rings.initialise(memory.attach(self.stories_fd, writable=True), workers)
        self.ledger_fd = memory.create("ledger", ledger_bytes(workers))
        self.ledger = Ledger.initialise(memory.attach(self.ledger_fd, writable=True), workers)
        self.board = memory.create("board", 4096)
        self.listeners = open_listeners(["127.0.0.1:0"], workers)
        self.changed = trio.Event()
        self.outcome: str | None = None
        self.ejections: list[tuple[Target, str, bool]] = []
        self.pool = WorkerPool(
            workers,
            listeners=self.listeners,
            group=new_group(),
            board=self.board,
            ledger_fd=self.ledger_fd,
            stories_fd=self.stories_fd,
            ledger=self.ledger,
            spans=self.board,  # whatever can be inherited
            drain_timeout=lambda: drain_timeout,
            on_change=self._on_change,
            on_ejection=self._on_ejection,
            command=stand_in(script),
            patience=patience,
        )

    def _on_ejection(self, target: Target, detail: str, is_over: bool) -> None:
        self.ejections.append((target, detail, is_over))
        self._on_change()

    def _on_change(self) -> None:
        self.changed.set()
        self.changed = trio.Event()

    async def wait_until(self, claim: Callable[[], bool]) -> None:
        with trio.fail_after(20):
            while not claim():
                await self.changed.wait()

    async def run(self) -> None:
        self.outcome = await self.pool.run()
        self._on_change()

    def pids(self) -> list[int]:
        return [facts.pid for facts in self.pool.facts()]


@asynccontextmanager
async def gang(
    script: str, *, workers: int = 1, drain_timeout: float = 5.0, patience: Patience | None = None
) -> AsyncIterator[Gang]:
    made = Gang(script, workers, drain_timeout, patience)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.run)
        try:
            yield made
        finally:
            made.pool.stop_now()
    made.listeners.close()
    os.close(made.board)
    os.close(made.ledger_fd)
    os.close(made.stories_fd)


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


async def test_workers_become_ready_and_drain_to_a_clean_end() -> None:
    async with gang("ready(); serve()", workers=3) as it:
        await it.wait_until(lambda: it.pool.is_ready)
        pids = it.pids()
        assert [facts.state for facts in it.pool.facts()] == ["serving"] * 3
        assert len({os.getpgid(pid) for pid in pids} | {os.getpgid(0)}) == 4  # Ctrl-C reaches the supervisor alone
        it.pool.drain()
        assert not it.pool.is_ready
        await it.wait_until(lambda: it.outcome is not None)
        assert it.outcome == ""
        assert all(map(is_gone, pids))


async def test_what_is_published_after_the_end_wakes_nobody_and_writes_nowhere() -> None:
    async with gang("ready(); serve()", workers=2) as it:
        await it.wait_until(lambda: it.pool.is_ready)
        it.pool.drain()
        await it.wait_until(lambda: it.outcome is not None)
        reused = [os.eventfd(0) for _ in range(8)]  # whoever has the workers' numbers now
        it.pool.wake()
        for fd in reused:
            os.set_blocking(fd, False)
            with pytest.raises(BlockingIOError):
                os.eventfd_read(fd)
            os.close(fd)


async def test_an_ejection_is_passed_on_and_a_probes_success_is_told_to_the_workers() -> None:
    script = """
tell("ejection", service="web", instance="10.0.0.1:80", detail="status 503", is_over=False)
ready()
told = json.loads(control.recv(4096))
words = f"{told['since']} {told['detail']}"
tell("ejection", service=told["service"], instance=told["instance"], detail=words, is_over=True)
serve()
"""
    web = Target("web", "10.0.0.1:80")
    async with gang(script, workers=2) as it:
        await it.wait_until(lambda: it.pool.is_ready)
        assert sorted(it.ejections) == [(web, f"status 503 (worker {worker})", False) for worker in (0, 1)]
        it.ejections.clear()
        it.pool.refute(web, 12.5, "200 in 2 ms")
        await it.wait_until(lambda: len(it.ejections) == 2)
        assert sorted(it.ejections) == [(web, f"12.5 200 in 2 ms (worker {worker})", True) for worker in (0, 1)]


async def test_a_killed_worker_is_replaced_and_its_counters_are_kept() -> None:
    async with gang("ready(); serve()", workers=2) as it:
        await it.wait_until(lambda: it.pool.is_ready)
        before = it.pids()
        it.ledger.words[row_word(0, R_CONNECTIONS_TOTAL)] = 41
        os.kill(before[0], signal.SIGKILL)
        await it.wait_until(lambda: not it.pool.is_ready)
        await it.wait_until(lambda: it.pool.is_ready)
        after = it.pool.facts()
        assert after[0].pid != before[0]
        assert after[1].pid == before[1]
        assert [facts.restarts for facts in after] == [1, 0]
        assert it.ledger.totals().connections_total == 41
        assert it.ledger.totals().requests_total == 3  # one per start of the stand-in, the dead one's included


async def test_a_worker_that_cannot_boot_ends_the_pool_with_a_reason() -> None:
    async with gang(f"sys.exit({EXIT_CANNOT_BOOT})", workers=2) as it:
        await it.wait_until(lambda: it.outcome is not None)
        assert it.outcome is not None
        assert "cannot start (exit code 3)" in it.outcome


async def test_a_crash_loop_ends_the_pool_with_a_reason() -> None:
    async with gang("os.kill(os.getpid(), signal.SIGKILL)", workers=2) as it:
        await it.wait_until(lambda: it.outcome is not None)
        assert it.outcome is not None
        assert "6 times in a row" in it.outcome
        assert "SIGKILL" in it.outcome


async def test_a_worker_that_does_not_finish_its_drain_is_killed() -> None:
    script = "ready()\nwhile True: time.sleep(60)"
    async with gang(script, drain_timeout=-0.8) as it:  # the pool adds a second for the worker's own exit
        await it.wait_until(lambda: it.pool.is_ready)
        (pid,) = it.pids()
        it.pool.drain()
        await it.wait_until(lambda: it.outcome is not None)
        assert it.outcome == ""
        assert is_gone(pid)


@pytest.mark.parametrize(
    "script", ["ready(); serve()", "ready()\nsignal.signal(signal.SIGABRT, signal.SIG_IGN)\nserve()"]
)
async def test_a_worker_whose_heart_stops_is_aborted_and_replaced(script: str) -> None:
    async with gang(script, patience=Patience(beat=1.0, abort=0.2)) as it:
        await it.wait_until(lambda: it.pool.is_ready)
        (pid,) = it.pids()
        await it.wait_until(lambda: it.pool.facts()[0].restarts == 1)
        assert is_gone(pid)


async def test_a_worker_that_is_still_starting_is_drained_too() -> None:
    async with gang("time.sleep(0.2)\nready(); serve()", workers=2) as it:
        await it.wait_until(lambda: all(facts.pid for facts in it.pool.facts()))
        it.pool.drain()
        await it.wait_until(lambda: it.outcome is not None)
        assert it.outcome == ""


async def test_every_worker_hears_of_a_new_snapshot_and_of_log_rotation() -> None:
    wait_to_be_woken = "os.set_blocking(spec['wake'], True)\nos.eventfd_read(spec['wake'])\ntell('log', event='woken')"
    script = f"ready()\n{wait_to_be_woken}\nserve()"
    with structlog.testing.capture_logs() as lines:
        async with gang(script, workers=2) as it:
            await it.wait_until(lambda: it.pool.is_ready)
            it.pool.wake()
            it.pool.reopen_logs()
            with trio.fail_after(10):
                while len([line for line in lines if line["event"] in ("woken", "told")]) < 4:
                    await trio.sleep(0.005)
    told = [(line["event"], line.get("what"), line["worker"]) for line in lines if line["event"] in ("woken", "told")]
    assert sorted(told, key=str) == [
        ("told", "reopen_log", 0), ("told", "reopen_log", 1), ("woken", None, 0), ("woken", None, 1),
    ]  # fmt: skip


async def test_cancelling_the_pool_leaves_no_process_behind() -> None:
    made = Gang("ready(); serve()", 2, 5.0, None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.run)
        await made.wait_until(lambda: made.pool.is_ready)
        pids = made.pids()
        nursery.cancel_scope.cancel()
    assert all(map(is_gone, pids))
    made.listeners.close()
