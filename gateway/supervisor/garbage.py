"""The garbage collector of the supervisor, run by the clock instead of in the middle of something.

By itself Python collects whenever so many objects more are there: mostly while an answer of Consul is read or a
change published, which then takes 10 to 50 ms longer with thousands of instances. Nearly everything here goes when its
last reference does; only what refers to itself waits for a pass. So one pass a second over what is new does, one a
minute over all that came since the last such pass, and one an hour over everything: what survives a pass of the
first two kinds is not looked at by the next ones of its kind.
"""

from __future__ import annotations

import gc
from typing import Final

import trio

PERIOD: Final = 1.0  # seconds between passes over what is new
MINUTE: Final = 60  # passes
HOUR: Final = 3600


async def collect_garbage() -> None:
    """Until cancelled; then Python does it by itself again."""
    gc.collect()
    gc.freeze()  # no pass looks at it again before the hour is over
    gc.disable()
    passes = 0
    try:
        while True:
            await trio.sleep(PERIOD)
            passes += 1
            if passes % HOUR == 0:
                gc.unfreeze()
            if passes % MINUTE == 0:
                gc.collect()
                gc.freeze()
            else:
                gc.collect(0)
    finally:
        gc.enable()
