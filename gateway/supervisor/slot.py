"""The place of one worker, over all processes that fill it, and how such a process is started."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog
import trio

from gateway.control import WorkerSpec

log = structlog.get_logger(__name__)

# What a large receive takes from the heap is needed again at once: giving it back to the kernel each time costs more
# than the receive does (glibc; mallopt(3)). Bytes.
MALLOC: Final = {"MALLOC_TRIM_THRESHOLD_": "4194304", "MALLOC_MMAP_THRESHOLD_": "4194304"}


def worker_command(spec: WorkerSpec) -> Sequence[str]:
    """How a worker is started. -P: the directory the gateway was started in must not shadow its packages."""
    return (sys.executable, "-P", "-m", "gateway.worker", spec.to_json())


@dataclass(slots=True)
class Slot:
    number: int
    wake: int  # eventfd; -1 once closed
    state: str = "starting"
    process: trio.Process | None = None
    control: socket.socket | None = None
    restarts: int = 0
    started_at: float = 0.0  # Unix seconds
    started_ns: int = 0  # CLOCK_MONOTONIC
    aborted: bool = False  # SIGABRT was sent to the present process
    is_new: bool = False  # added while the gateway ran, and never ready yet
    is_leaving: bool = False  # one too many: it drains, and is not started again

    def notify(self) -> None:
        """Tell its worker, if it has one to come, that a new snapshot is on the board."""
        if self.wake < 0:
            return
        try:
            os.eventfd_write(self.wake, 1)
        except BlockingIOError:
            log.debug("worker has not read its eventfd for very long", worker=self.number)

    def close(self) -> None:
        """No process fills it any more. What is published later is for nobody."""
        wake, self.wake = self.wake, -1
        os.close(wake)


def new_slot(number: int) -> Slot:
    """An empty one."""
    return Slot(number, os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))
