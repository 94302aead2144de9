"""A descriptor that lines are written to whole, without ever waiting for whoever reads them.

A pipe or terminal is opened anew, so that O_NONBLOCK stays this process's own: on an inherited standard output the
flag would be shared with whoever else writes there. Where that is not allowed (another user's pipe), it is asked
before each write whether there is room. A socket cannot be opened anew; each send to it says that it must not wait.
Writes to anything but a file are at most PIPE_BUF bytes, which the kernel does not interleave (pipe(7)).

A disk that fills up takes the first half of a write and no more. After a failure the next write begins on a line of
its own, whoever left the half one: a line is lost, its neighbour is not.
"""

from __future__ import annotations

import os
import select
import socket
import stat
from collections.abc import Sequence
from typing import Final

_PIPE_BYTES: Final = 4096  # PIPE_BUF on Linux


class Outlet:
    """Use `to_file` or `to_standard`."""

    def __init__(self, fd: int, poll: select.poll | None = None) -> None:
        """Takes `fd` over. `poll` is to be asked for room before each write."""
        mode = os.fstat(fd).st_mode
        self.is_file = stat.S_ISREG(mode)
        self.error = ""  # why the last write failed
        self._fd = fd
        self._sock = socket.socket(fileno=fd) if stat.S_ISSOCK(mode) else None
        self._poll = poll
        self._may_be_torn = False  # a write failed: what is there may end in half a line

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
        else:
            os.close(self._fd)

    def put(self, lines: Sequence[bytes]) -> int:
        """Write lines, each with its newline; how many of them were dropped."""
        if self.is_file:
            return self._write(lines)
        dropped = 0
        piece: list[bytes] = []
        size = 0
        for line in lines:
            if size + len(line) > _PIPE_BYTES and piece:
                dropped += self._write(piece)
                piece, size = [], 0
            piece.append(line)
            size += len(line)
        return dropped + self._write(piece)

    def _write(self, lines: Sequence[bytes]) -> int:
        data = b"".join(lines)
        start = 0
        if self._may_be_torn and not (self.is_file and _ends_a_line(self._fd)):
            data = b"\n" + data
            start = 1
        try:
            written = self._send(data)
        except OSError as error:  # full disk, stalled or vanished reader
            self.error = str(error)
            self._may_be_torn = self._may_be_torn or self.is_file  # another process may have left half a line there
            return len(lines)
        if written == len(data):
            self._may_be_torn = False
            return 0
        self.error = f"only {written} of {len(data)} bytes were taken"
        self._may_be_torn = True
        return len(lines) - data.count(b"\n", start, written)

    def _send(self, data: bytes) -> int:
        if self._sock is not None:
            return self._sock.send(data, socket.MSG_DONTWAIT)
        if self._poll is not None and not self._poll.poll(0):
            raise BlockingIOError("the pipe is full")
        return os.write(self._fd, data)


def to_file(path: str) -> Outlet:
    """Append to a file, or write to a FIFO or device. Raises OSError."""
    return Outlet(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o640))


def to_standard(number: int) -> Outlet:
    """Write to an inherited descriptor, which stays open: 1 or 2. Raises OSError."""
    mode = os.fstat(number).st_mode
    # A socket cannot be opened anew (journald's always reads). A file never blocks, and whoever shares
    # this description with us (`gw up >file 2>&1`) must share the offset too, or one overwrites the other.
    if stat.S_ISSOCK(mode) or stat.S_ISREG(mode):
        return Outlet(os.dup(number))
    try:
        return Outlet(os.open(f"/proc/self/fd/{number}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except PermissionError:
        fd = os.dup(number)
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        return Outlet(fd, poll)


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
