"""A worker that has stopped to beat is stuck, and ended: SIGABRT has it print its stack, SIGKILL makes sure."""

from __future__ import annotations

import signal
import time
from typing import Final

import structlog
import trio

from gateway.shm.layout import R_HEARTBEAT_NS, row_word
from gateway.shm.ledger import Ledger
from gateway.supervisor.restart import Patience
from gateway.supervisor.slot import Slot

WATCH_INTERVAL: Final = 1.0  # seconds between looks at the heartbeats

log = structlog.get_logger(__name__)


async def watch_heartbeats(slots: list[Slot], ledger: Ledger, patience: Patience) -> None:
    """End every worker whose heart has stopped, until cancelled; `slots` may change meanwhile."""
    async with trio.open_nursery() as nursery:
        excused_ns = last_ns = time.monotonic_ns()
        while True:
            await trio.sleep(WATCH_INTERVAL)
            now_ns = time.monotonic_ns()
            if now_ns - last_ns > 2 * WATCH_INTERVAL * 1e9:
                excused_ns = now_ns
            last_ns = now_ns
            for slot in slots:
                if slot.process is None or slot.aborted:
                    continue
                heartbeat_ns = ledger.words[row_word(slot.number, R_HEARTBEAT_NS)]
                if patience.is_over(
                    now_ns=now_ns, heartbeat_ns=heartbeat_ns, started_ns=slot.started_ns, excused_ns=excused_ns
                ):
                    slot.aborted = True
                    nursery.start_soon(_abort, slot.number, slot.process, patience)


async def _abort(worker: int, process: trio.Process, patience: Patience) -> None:
    """End a stuck process: SIGABRT has it print its stack, SIGKILL makes sure."""
    log.error("worker is stuck, aborting it", worker=worker, worker_pid=process.pid, patience=patience.beat)
    process.send_signal(signal.SIGABRT)
    with trio.move_on_after(patience.abort):
        await process.wait()
    process.kill()
