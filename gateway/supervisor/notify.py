"""What systemd is told of the gateway, over the datagram socket NOTIFY_SOCKET: sd_notify(3).

Own code and not a library: the protocol is one datagram of NAME=VALUE lines, and the one package of some age for it
is no longer kept. Without NOTIFY_SOCKET nothing is sent.
https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, MutableMapping

import structlog
import trio

log = structlog.get_logger(__name__)

_MICRO = 1_000_000


class Notifier:
    """Says each thing when it is asked to; `run_watchdog` goes on saying that all is well."""

    def __init__(self, environ: MutableMapping[str, str], pid: int) -> None:
        """Takes WATCHDOG_PID out of `environ`: a process that takes over from this one is watched in its place."""
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address  # "@": an abstract name
        watched = environ.pop("WATCHDOG_PID", str(pid)) == str(pid)
        interval = environ.get("WATCHDOG_USEC", "")
        self.watchdog_interval = int(interval) / _MICRO / 2 if watched and interval.isdecimal() else 0.0  # seconds
        self._status = ""

    def say(self, **fields: object) -> None:
        """One message."""
        if not self._address:
            return
        message = "\n".join(f"{name}={value}" for name, value in fields.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.sendto(message.encode(), socket.MSG_DONTWAIT, self._address)
        except OSError as error:
            log.warning("systemd cannot be told", message=message, error=str(error))

    def ready(self, status: str) -> None:
        """Started, or done with a reload."""
        self._status = status
        self.say(READY=1, STATUS=status)

    def reloading(self) -> None:
        """A reload begins; `ready` is its end."""
        self.say(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)

    def stopping(self, seconds: float, status: str) -> None:
        """The end begins, and takes at most so long."""
        self._status = status
        self.say(STOPPING=1, EXTEND_TIMEOUT_USEC=int(seconds * _MICRO), STATUS=status)

    def status(self, status: str) -> None:
        """One line for `systemctl status`, said if it is another one than before."""
        if status != self._status:
            self._status = status
            self.say(STATUS=status)

    def main_pid(self, pid: int) -> None:
        """Another process, of the same unit, is the gateway from now on."""
        self.say(MAINPID=pid)

    async def run_watchdog(self, is_well: Callable[[], bool]) -> None:
        """Say as often as systemd wants it that all is well, while it is; silence has systemd restart the unit."""
        while self.watchdog_interval:
            if is_well():
                self.say(WATCHDOG=1)
            else:
                log.error("all is not well: the watchdog is not told otherwise")
            await trio.sleep(self.watchdog_interval)
