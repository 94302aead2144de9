"""What Linux says of one process: processor time, memory, descriptors, start. Read from /proc (proc(5))."""

from __future__ import annotations

import functools
import math
import os
import resource
from dataclasses import dataclass
from pathlib import Path

# Positions in /proc/PID/stat counted from the state field, the first one after the command's ")".
_UTIME, _STIME, _STARTTIME, _VSIZE, _RSS_PAGES = 11, 12, 19, 20, 21


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """One process at one moment."""

    cpu_seconds: float  # user and system
    resident_bytes: int
    virtual_bytes: int
    open_fds: int | None  # None: the kernel does not let us look
    max_fds: float  # inf: no limit
    start_time: float  # Unix seconds


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process uses at one moment, as far as it costs next to nothing to find out."""

    resident_bytes: int
    cpu_seconds: float  # user and system, since its start


def read_process(pid: int) -> ProcessFigures | None:
    """The figures of process `pid`; None when there is no such process (any more), or no descriptor to look with."""
    folder = Path("/proc") / str(pid)
    try:
        fields = _stat(folder)
        limit = resource.prlimit(pid or -1, resource.RLIMIT_NOFILE)[0]  # to prlimit(2), process 0 would be ourselves
        boot_time = _boot_time()
    except OSError:
        return None
    used = _usage(fields)
    return ProcessFigures(
        cpu_seconds=used.cpu_seconds,
        resident_bytes=used.resident_bytes,
        virtual_bytes=int(fields[_VSIZE]),
        open_fds=_count_descriptors(folder / "fd"),
        max_fds=math.inf if limit == resource.RLIM_INFINITY else limit,
        start_time=boot_time + int(fields[_STARTTIME]) / os.sysconf("SC_CLK_TCK"),
    )


def usage(pid: int) -> Usage:
    """What process `pid` uses; nothing when there is no such process, or no descriptor to look with."""
    try:
        return _usage(_stat(Path("/proc") / str(pid)))
    except OSError:
        return Usage(0, 0.0)


def _stat(folder: Path) -> list[str]:
    """The fields of /proc/PID/stat from the state on; the command before it may hold spaces and parentheses."""
    text = (folder / "stat").read_text(encoding="ascii", errors="replace")
    return text[text.rindex(")") + 2 :].split()


def _usage(fields: list[str]) -> Usage:
    ticks = int(fields[_UTIME]) + int(fields[_STIME])
    pages = int(fields[_RSS_PAGES])
    return Usage(pages * os.sysconf("SC_PAGE_SIZE"), ticks / os.sysconf("SC_CLK_TCK"))


def _count_descriptors(folder: Path) -> int | None:
    try:
        return sum(1 for _ in folder.iterdir())
    except OSError:
        return None


@functools.cache
def _boot_time() -> float:
    """Unix seconds at which the machine started: what /proc/PID/stat counts from."""
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    raise RuntimeError("/proc/stat has no btime line: is /proc mounted?")
