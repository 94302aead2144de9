"""The worker's file descriptors: how many clients may have, and one kept back for when none is left.

The kernel gives out the lowest free number, so the number of a new connection says how many are in use. New clients
are turned away once three quarters are: the rest is for connections to instances, without which no client is served.

The limit may be lowered below what is in use while the gateway runs (prlimit(1)), or the whole system may run out:
then nothing can be accepted, and whoever waits in the queue would hear nothing. So one descriptor is kept
back; it is freed for as long as it takes to accept a connection, tell it 503 and close it.
"""

from __future__ import annotations

import os
import resource
from typing import Final

READ_EVERY: Final = 1.0  # seconds


class Descriptors:
    """One worker's."""

    __slots__ = ("_kept", "_read_at", "for_clients", "limit")

    def __init__(self) -> None:
        self._kept = -1
        self._read_at = -1e9
        self.limit = 0
        self.for_clients = 0  # a client's connection with this number, or above it, is too much
        self.keep()
        self.look(0.0)

    def look(self, now: float) -> None:
        """Read the limit, if that was not done a moment ago."""
        if now >= self._read_at + READ_EVERY:
            self._read_at = now
            self.read()

    def read(self) -> None:
        """Read the limit."""
        self.limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if self.limit == resource.RLIM_INFINITY:
            self.limit = 1 << 30
        self.for_clients = self.limit - self.limit // 4

    def has_room(self) -> bool:
        """Would a client's connection be given a number that clients may have?"""
        try:
            number = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        os.close(number)
        return number < self.for_clients

    def keep(self) -> bool:
        """Keep one back; False if none can be had."""
        if self._kept < 0:
            try:
                self._kept = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return False
        return True

    def free(self) -> bool:
        """Free the one kept back; False if there is none."""
        if self._kept < 0:
            return False
        os.close(self._kept)
        self._kept = -1
        return True

    def close(self) -> None:
        self.free()
