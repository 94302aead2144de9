"""When a dead worker is started again, and when the whole gateway gives up. Pure: time comes in.

Rules:

- A worker that dies is replaced at once; if it dies again soon, after 0.1 s, then 0.2 s, doubling to 5 s, or to 0.4 s
  if it had served: what takes a second to come back is missed, and a second of each such life was of use.
  Ten seconds of life make its next death the first one again.
- `EXIT_CANNOT_BOOT` from a worker slot that was never ready halts: another try would fail the same way.
- More than five deaths before READY in a row, over all workers and within ten seconds, halt, unless
  some worker is serving: a gateway at half strength is better than none, so then it goes on trying.
- A process that cannot be started for want of descriptors, memory or processes is tried on and on, if its slot was
  ever ready: the want may pass, and giving up would end what little goes on.
"""

from __future__ import annotations

import signal
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from gateway.control import EXIT_CANNOT_BOOT

FIRST_DELAY: Final = 0.1  # seconds, of the second restart in a row; the first has none
LONGEST_DELAY: Final = 5.0
LONGEST_DELAY_SERVED: Final = 0.4  # of one that had been ready
CANNOT_SPAWN: Final = 127  # stands for the exit code of a process that could not be started at all
SETTLED: Final = 10.0  # seconds of life after which a death is a first one
LOOP_DEATHS: Final = 5  # deaths before READY in a row that are still borne
LOOP_WINDOW: Final = 10.0  # seconds


@dataclass(frozen=True, slots=True)
class Restart:
    """Start the worker again after `delay` seconds."""

    delay: float


@dataclass(frozen=True, slots=True)
class Halt:
    """Give up; `message` says why and what to look at."""

    message: str


def describe_exit(returncode: int, *, is_ours: bool = False) -> str:
    """How a process ended, in plain words (`returncode` as `subprocess` gives it); `is_ours`: it was ended here."""
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"signal {-returncode}"
    hint = " (out of memory?)" if -returncode == signal.SIGKILL and not is_ours else ""
    return f"killed by {name}{hint}"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a silent worker is borne with. Seconds.

    A worker beats twice a second, and its connections wait while it does not. What takes the machine's time from a
    worker mostly takes it from the supervisor too, which excuses it (`is_over`); so little is said for waiting longer.
    HAProxy gives a stuck thread 2 s, gunicorn a worker 30.
    """

    beat: float = 5.0  # since its last heartbeat
    boot: float = 30.0  # until its first one
    abort: float = 2.0  # from SIGABRT, which prints its stack, to SIGKILL

    def is_over(self, *, now_ns: int, heartbeat_ns: int, started_ns: int, excused_ns: int) -> bool:
        """Has a worker stopped to beat? All times are CLOCK_MONOTONIC; `heartbeat_ns` is 0 before the first beat.

        `excused_ns` is when the supervisor itself last came late: what starved it may have starved
        the worker as well, so the worker's time counts from there.
        """
        if heartbeat_ns < started_ns:
            return now_ns - max(started_ns, excused_ns) > self.boot * 1e9
        return now_ns - max(heartbeat_ns, excused_ns) > self.beat * 1e9


@dataclass(slots=True)
class _Slot:
    started: float = 0.0
    is_ready: bool = False
    was_ever_ready: bool = False
    early_deaths: int = 0  # in a row, each within SETTLED of its start


@dataclass(slots=True)
class RestartPolicy:
    """Judges deaths of all workers. Worker numbers are slots: 0-based, kept over restarts."""

    slots: dict[int, _Slot] = field(default_factory=dict)
    unready_deaths: deque[float] = field(default_factory=deque)  # when, in a row

    def on_start(self, worker: int, now: float) -> None:
        """A process for the slot was started."""
        slot = self.slots.setdefault(worker, _Slot())
        slot.started = now
        slot.is_ready = False

    def on_ready(self, worker: int) -> None:
        """The slot's process accepts connections."""
        slot = self.slots[worker]
        slot.is_ready = slot.was_ever_ready = True
        self.unready_deaths.clear()

    def on_death(self, worker: int, returncode: int, now: float) -> Restart | Halt:
        """The slot's process is gone: what to do?"""
        slot = self.slots[worker]
        was_ready, slot.is_ready = slot.is_ready, False
        if not was_ready:
            halt = self._judge_boot(worker, slot, returncode, now)
            if halt is not None:
                return halt
        slot.early_deaths = 0 if now - slot.started >= SETTLED else slot.early_deaths + 1
        if slot.early_deaths <= 1:
            return Restart(0.0)
        return Restart(
            min(
                LONGEST_DELAY_SERVED if was_ready else LONGEST_DELAY,
                FIRST_DELAY * 2.0 ** min(slot.early_deaths - 2, 16),
            )
        )

    def _judge_boot(self, worker: int, slot: _Slot, returncode: int, now: float) -> Halt | None:
        if returncode == EXIT_CANNOT_BOOT and not slot.was_ever_ready:
            return Halt(
                f"worker {worker} cannot start ({describe_exit(returncode)}); "
                "its last line on standard error says why, and starting it again would end the same way"
            )
        if returncode == CANNOT_SPAWN and slot.was_ever_ready:
            return None  # the machine is short of something; nothing speaks against the worker
        self.unready_deaths.append(now)
        while now - self.unready_deaths[0] > LOOP_WINDOW:
            self.unready_deaths.popleft()
        if len(self.unready_deaths) > LOOP_DEATHS and not any(s.is_ready for s in self.slots.values()):
            return Halt(
                f"workers died {len(self.unready_deaths)} times in a row within {LOOP_WINDOW:.0f} s before they were "
                f"ready, worker {worker} last ({describe_exit(returncode)}); their last lines on standard error say why"
            )
        return None
