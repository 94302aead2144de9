"""Signals that come before the supervisor listens, or after: kept for it, or let pass. Imports nothing slow.

By default SIGHUP, SIGUSR1 and SIGUSR2 end a process, so a reload asked for while the gateway boots would kill it, and
so would one in the moment between its last word and its end. What asks to stop is not lost either: the supervisor
hears of it as soon as it listens, and ends in order.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_held: list[int] = []


@contextmanager
def held() -> Iterator[None]:
    """Keep signals; afterwards they mean what they meant before, unless `ignore` was called meanwhile."""
    _held.clear()
    before = {number: signal.signal(number, _keep) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is _keep:
                signal.signal(number, handler)


def take() -> list[int]:
    """Those kept, in order."""
    held, _held[:] = _held[:], []
    return held


def ignore() -> None:
    """Let all pass: the process is about to end."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _keep(number: int, _frame: FrameType | None) -> None:
    _held.append(number)
