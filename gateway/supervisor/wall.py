"""What the clock on the wall said, for people; decisions go by CLOCK_MONOTONIC alone.

The system's clock may be set while the gateway runs, and CLOCK_MONOTONIC stands still while the machine is suspended.
Moments kept on the steady clock are then shown as the new clock has them, and durations stay what they were.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import structlog

STEP: Final = 0.5  # seconds; less is the noise of two readings, and moves no time that somebody compares

log = structlog.get_logger(__name__)


class Wall:
    """Turns moments on CLOCK_MONOTONIC into Unix time. Call it for what is to be added."""

    def __init__(self, *, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._steady = steady
        self._offset = wall() - steady()

    def __call__(self) -> float:
        offset = self._wall() - self._steady()
        if abs(offset - self._offset) >= STEP:
            log.warning("the system's clock was set, or the machine suspended", seconds=round(offset - self._offset, 3))
            self._offset = offset
        return self._offset
