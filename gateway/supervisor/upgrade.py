"""SIGUSR2: start a new gateway with this one's command line, which replaces it.

The program is found anew, as at any start: whatever version is installed now is what runs. The new process has a
process group of its own and outlives this one. If it ends without having replaced this gateway, this one goes on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

import structlog
import trio

from gateway.handover.sockets import supervisor_name
from gateway.supervisor.restart import describe_exit

FLAG: Final = "--replace"
PREDECESSOR: Final = "GW_PREDECESSOR"  # in the environment: who is to be replaced, whatever the addresses

log = structlog.get_logger(__name__)


def successor_command(own: Sequence[str]) -> list[str]:
    """`own`: this process's command line, the interpreter first."""
    return [sys.executable, *own[1:], *([] if FLAG in own else [FLAG])]


class Upgrader:
    """One successor at a time."""

    def __init__(self, group: str, command: Sequence[str]) -> None:
        self._name = supervisor_name(group)
        self._command = command
        self._wanted = trio.Event()
        self._is_under_way = False

    def request(self) -> None:
        """Start one, unless one is starting."""
        if self._is_under_way:
            log.warning("a new gateway is starting already")
        self._wanted.set()

    async def run(self) -> None:
        """Serve requests until cancelled."""
        while True:
            await self._wanted.wait()
            self._is_under_way = True
            await self._once()
            self._is_under_way, self._wanted = False, trio.Event()

    async def _once(self) -> None:
        try:
            process = await trio.lowlevel.open_process(
                self._command,
                stdin=subprocess.DEVNULL,
                env=os.environ | {PREDECESSOR: self._name},
                process_group=0,
            )
        except OSError as error:
            log.error("the new gateway cannot be started, this one goes on", command=self._command, error=str(error))
            return
        log.info("a new gateway was started", successor_pid=process.pid, command=self._command)
        code = await process.wait()
        log.error("the new gateway has ended, this one goes on", successor_pid=process.pid, how=describe_exit(code))
