"""The place of one worker, over all processes that fill it."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

import trio


@dataclass(slots=True)
class Slot:
    number: int
    wake: int  # eventfd
    state: str = "starting"
    process: trio.Process | None = None
    control: socket.socket | None = None
    restarts: int = 0
    started_at: float = 0.0  # Unix seconds
    started_ns: int = 0  # CLOCK_MONOTONIC
    aborted: bool = False  # SIGABRT was sent to the present process
    is_new: bool = False  # added while the gateway ran, and never ready yet
    is_leaving: bool = False  # one too many: it drains, and is not started again


def new_slot(number: int) -> Slot:
    """An empty one."""
    return Slot(number, os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))
