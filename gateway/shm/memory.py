"""Anonymous shared memory: sealed memfds, passed to workers by descriptor number.

Nothing has a name outside the processes that hold it, so nothing is left behind by a crash. The
size is sealed: no process that holds the descriptor can shrink the memory under another's feet
(which would end that one with SIGBUS). Untouched pages cost nothing.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from typing import Final

_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


class LayoutMismatch(Exception):
    """A shared memory is not what this program expects there: another kind, another layout, or cut short."""


def create(name: str, size: int) -> int:
    """A new zeroed memory of `size` bytes, its size sealed; returns its descriptor, closed on exec.

    `name` only labels it in /proc. Raises OSError (no memory, too many descriptors).
    """
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except OSError:
        os.close(fd)
        raise
    return fd


def attach(fd: int, *, writable: bool) -> mmap.mmap:
    """Maps the whole memory behind `fd`, shared. The descriptor may be closed afterwards.

    Without `writable` a store through the map raises TypeError. Raises OSError.
    """
    prot = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    memory = mmap.mmap(fd, 0, mmap.MAP_SHARED, prot)
    memory.madvise(mmap.MADV_DONTDUMP)  # gigabytes, nearly all of them untouched: nothing for a core dump
    return memory
