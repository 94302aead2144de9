"""Pipes through which bytes go from one socket to another without being copied: splice(2).

A pipe is either empty and in the pool, or holds what one connection has to take yet; then it is that
connection's. One whose connection ends before it has taken everything is closed, never used again:
its bytes are nobody else's.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from typing import Final

PIPE_BYTES: Final = 1048576  # what each holds at most: fs.pipe-max-size, unless that was changed
_SIZES: Final = (PIPE_BYTES, PIPE_BYTES // 4)  # a smaller one costs as much as copying
_MOST: Final = 64  # per worker; those in use hold what a peer slower than its source has yet to take
_FLAGS: Final = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
_REFUSED: Final = frozenset((errno.EINVAL, errno.ENOSYS, errno.EPERM))


class Pipe:
    """Two descriptors, and how many bytes are in between."""

    __slots__ = ("held", "reader", "writer")

    def __init__(self, reader: int, writer: int) -> None:
        self.reader = reader
        self.writer = writer
        self.held = 0

    def drain(self, fd: int) -> int:
        """Move to a socket what it takes; how much that was. Raises OSError."""
        sent = os.splice(self.reader, fd, self.held, flags=_FLAGS)
        self.held -= sent
        return sent


class Pipes:
    """One worker's."""

    __slots__ = ("_free", "_is_refused", "kept", "open")

    def __init__(self) -> None:
        self._free: list[Pipe] = []
        self._is_refused = False
        self.open = 0  # pipes that exist, in use or not
        self.kept = 0  # bytes that connections have to take yet and that are in no pipe, but in memory

    def fill(self, fd: int, most: int) -> Pipe | None:
        """A pipe with up to `most` received bytes of a socket; None: they are not to be had so, only by reading.

        That holds too of the end, of urgent data, and where nothing has come. Raises OSError: the connection is lost.
        """
        pipe = self.take()
        if pipe is None:
            return None
        try:
            pipe.held = os.splice(fd, pipe.writer, min(most, PIPE_BYTES), flags=_FLAGS)
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno not in _REFUSED:
                self.give_back(pipe)
                raise
            self._is_refused = True
        if pipe.held:
            return pipe
        self.give_back(pipe)
        return None

    def take(self) -> Pipe | None:
        """An empty pipe; None when there is none to be had, and bytes have to be copied."""
        if self._is_refused:
            return None
        if self._free:
            return self._free.pop()
        if self.open >= _MOST:
            return None
        try:
            reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:  # no descriptors: there may be some later
            return None
        pipe = Pipe(reader, writer)
        self.open += 1
        for size in _SIZES:
            with contextlib.suppress(OSError):  # over fs.pipe-max-size, or the user's share (fs.pipe-user-pages-soft)
                fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, size)
                return pipe
        self._close(pipe)
        return None

    def give_back(self, pipe: Pipe) -> None:
        """Done with it, whatever it holds."""
        if pipe.held:
            self._close(pipe)
        else:
            self._free.append(pipe)

    def close(self) -> None:
        """Close those in the pool."""
        self._is_refused = True
        while self._free:
            self._close(self._free.pop())

    def _close(self, pipe: Pipe) -> None:
        os.close(pipe.reader)
        os.close(pipe.writer)
        self.open -= 1
