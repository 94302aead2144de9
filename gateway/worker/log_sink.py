"""Where the access log's lines go: written, or dropped and counted; never kept, never waited for (see `outlet`).

A disk that is full is left alone for a while, as being told again can cost milliseconds; a pipe is tried with every
batch. What cannot be opened, as after a rotation on a full disk, is tried again as well.
"""

from __future__ import annotations

from typing import Final

from gateway import outlet
from gateway.outlet import Outlet
from gateway.proxy.context import Reporter

BACK_OFF: Final = 0.1  # seconds without a try after a file could not be written, or anything not be opened
SAY_EVERY: Final = 10.0  # seconds between reports of lines dropped
_STDOUT: Final = 1
_NEVER: Final = -1e9


class LogSink:
    """One worker's."""

    def __init__(self, report: Reporter) -> None:
        self.dropped = 0  # lines, since the worker's start
        self._report = report
        self._target = "off"
        self._outlet: Outlet | None = None
        self._try_at = _NEVER  # when a file may be tried again
        self._said_at = _NEVER
        self._said = 0  # lines dropped when that was last reported
        self._error = ""

    def open(self, target: str) -> None:
        """Use a path, "stdout", or nothing ("off"). A failure is said; it is tried again while lines come."""
        self.close()
        self._target = target
        self._try_at = _NEVER
        if target != "off" and not self._open():
            self._report("error", "access log cannot be opened", path=target, error=self._error)

    def close(self) -> None:
        """Close what is open."""
        if self._outlet is not None:
            self._outlet.close()
            self._outlet = None

    def write(self, lines: list[bytes], now: float) -> None:
        """Write these lines, each with its newline, or drop them. `now` is monotonic, seconds."""
        dropped = self._put(lines) if now >= self._try_at else len(lines)
        if not dropped:
            return
        self.dropped += dropped
        if now >= self._try_at and (self._outlet is None or self._outlet.is_file):
            self._try_at = now + BACK_OFF
        if now >= self._said_at + SAY_EVERY:
            news = self.dropped - self._said
            self._said_at = now
            self._said = self.dropped
            self._report(
                "error",
                "access log lines dropped",
                path=self._target,
                error=self._error,
                lines=news,
                lines_total=self.dropped,
            )

    def _put(self, lines: list[bytes]) -> int:
        if self._outlet is None and not self._open():
            return len(lines)
        assert self._outlet is not None
        dropped = self._outlet.put(lines)
        if dropped:
            self._error = self._outlet.error
        return dropped

    def _open(self) -> bool:
        try:
            self._outlet = outlet.to_standard(_STDOUT) if self._target == "stdout" else outlet.to_file(self._target)
        except OSError as error:
            self._error = str(error)
            return False
        return True
