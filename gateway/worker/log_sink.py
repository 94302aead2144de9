"""Where the access log's lines go: written whole, never waited for, dropped and counted when they cannot be.

A pipe or terminal is opened anew by this worker, so that O_NONBLOCK stays its own: on an inherited
standard output the flag would be shared with whoever else writes there. A socket cannot be opened anew; each
send to it says that it must not wait. Writes to a pipe are at most PIPE_BUF bytes, which the kernel does not
interleave (pipe(7)); files are opened with O_APPEND.

A disk that fills up takes the first half of a write and no more. After a failure the next write begins on a line of
its own, whoever left the half one: a line is lost, its neighbour is not. A disk is then left alone for BACK_OFF,
as being told again that it is full can cost milliseconds; a pipe is tried with every batch.
"""

from __future__ import annotations

import os
import socket
import stat
from typing import Final

from gateway.proxy.context import Reporter

BACK_OFF: Final = 0.1  # seconds without a try after a file could not be written, or opened
SAY_EVERY: Final = 10.0  # seconds between reports of lines dropped
_PIPE_BYTES: Final = 4096  # PIPE_BUF on Linux
_STDOUT: Final = 1
_NEVER: Final = -1e9


class LogSink:
    """One worker's."""

    def __init__(self, report: Reporter) -> None:
        self.dropped = 0  # lines, since the worker's start
        self._report = report
        self._target = "off"
        self._fd = -1
        self._sock: socket.socket | None = None  # the same descriptor, if it is one
        self._is_file = False
        self._may_be_torn = False  # a write failed: what is there may end in half a line
        self._try_at = _NEVER  # when a file may be tried again
        self._said_at = _NEVER
        self._said = 0  # lines dropped when that was last reported
        self._error = ""  # why the last write failed

    def open(self, target: str) -> None:
        """Use a path, "stdout", or nothing ("off"). A failure is said; it is tried again while lines come."""
        self.close()
        self._target = target
        self._may_be_torn = False
        self._try_at = _NEVER
        if target != "off" and not self._open():
            self._report("error", "access log cannot be opened", path=target, error=self._error)

    def close(self) -> None:
        """Close what is open."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        elif self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def write(self, lines: list[bytes], now: float) -> None:
        """Write these lines, each with its newline, or drop them. `now` is monotonic, seconds."""
        before = self.dropped
        if self._fd < 0 and (now < self._try_at or not self._open()):
            self.dropped += len(lines)
            if now >= self._try_at:
                self._try_at = now + BACK_OFF
        elif self._is_file:
            if now < self._try_at:
                self.dropped += len(lines)
            elif not self._put(lines):
                self._try_at = now + BACK_OFF
        else:
            self._put_pieces(lines)
        if self.dropped != before and now >= self._said_at + SAY_EVERY:
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

    def _open(self) -> bool:
        try:
            fd = _open(self._target)
        except OSError as error:
            self._error = str(error)
            return False
        mode = os.fstat(fd).st_mode
        self._fd = fd
        self._is_file = stat.S_ISREG(mode)
        self._sock = socket.socket(fileno=fd) if stat.S_ISSOCK(mode) else None
        return True

    def _put_pieces(self, lines: list[bytes]) -> None:
        """In pieces of whole lines that the kernel does not mix with those of other writers."""
        piece: list[bytes] = []
        size = 0
        for line in lines:
            if size + len(line) > _PIPE_BYTES and piece:
                self._put(piece)
                piece, size = [], 0
            piece.append(line)
            size += len(line)
        self._put(piece)

    def _put(self, lines: list[bytes]) -> bool:
        """One write. False: something of it was dropped."""
        data = b"".join(lines)
        start = 0
        if self._may_be_torn and not (self._is_file and _ends_a_line(self._fd)):
            data = b"\n" + data
            start = 1
        sock = self._sock
        try:
            written = os.write(self._fd, data) if sock is None else sock.send(data, socket.MSG_DONTWAIT)
        except OSError as error:  # full disk, stalled or vanished reader
            self._error = str(error)
            self._may_be_torn = self._may_be_torn or self._is_file  # another worker may have left half a line there
            self.dropped += len(lines)
            return False
        if written == len(data):
            self._may_be_torn = False
            return True
        self._error = f"only {written} of {len(data)} bytes were taken"
        self._may_be_torn = True
        self.dropped += len(lines) - data.count(b"\n", start, written)
        return False


def _ends_a_line(fd: int) -> bool:
    """Does a file end with a newline, or hold nothing? False where that cannot be found out."""
    try:
        reader = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        size = os.fstat(reader).st_size
        return not size or os.pread(reader, 1, size - 1) == b"\n"
    except OSError:
        return False
    finally:
        os.close(reader)


def _open(target: str) -> int:
    if target != "stdout":
        return os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o640)
    mode = os.fstat(_STDOUT).st_mode
    # A socket cannot be opened anew (journald's always reads). A file never blocks, and whoever shares
    # this description with us (`gw up >file 2>&1`) must share the offset too, or one overwrites the other.
    if stat.S_ISSOCK(mode) or stat.S_ISREG(mode):
        return os.dup(_STDOUT)
    return os.open(f"/proc/self/fd/{_STDOUT}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
