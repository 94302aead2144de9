"""Signals to the supervisor, turned into plain calls. Nothing happens inside a signal handler.

SIGTERM, SIGINT: drain and stop; a second one: stop now. SIGHUP: reload. SIGUSR1: open the access log anew.
SIGUSR2: have a new gateway replace this one.
"""

from __future__ import annotations

import signal
from typing import Protocol

import structlog
import trio

from gateway.supervisor import held_signals

log = structlog.get_logger(__name__)


class Obeys(Protocol):
    """Who carries out what signals ask for; every method only starts the work."""

    def drain(self) -> None: ...

    def stop_now(self) -> None: ...

    def request_reload(self) -> None: ...

    def reopen_logs(self) -> None: ...

    def upgrade(self) -> None: ...


async def watch_signals(obeys: Obeys, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Receive signals until cancelled, those held before first. Started once it would miss none."""
    asked_to_stop = False

    def obey(number: int) -> None:
        nonlocal asked_to_stop
        log.info("signal received", signal=signal.Signals(number).name)
        if number == signal.SIGHUP:
            obeys.request_reload()
        elif number == signal.SIGUSR1:
            obeys.reopen_logs()
        elif number == signal.SIGUSR2:
            obeys.upgrade()
        elif asked_to_stop:
            obeys.stop_now()
        else:
            asked_to_stop = True
            obeys.drain()

    with trio.open_signal_receiver(*held_signals.SIGNALS) as received:
        for number in held_signals.take():
            obey(number)
        task_status.started()
        async for number in received:
            obey(number)
