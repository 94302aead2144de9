"""What must not be left behind: processes, descriptors, named shared memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.rig.shared import Shared
from gateway.shm.layout import R_CONNECTIONS, R_PID, R_UPSTREAM_IDLE, row_word

MARK = "GW_RELIABILITY_RUN"
"""Environment of every process of a run: inherited, so that none can hide."""
PATIENCE = 15.0  # seconds until what is being closed has been closed


def shared_memory() -> set[str]:
    """Names in /dev/shm."""
    return {each.name for each in Path("/dev/shm").iterdir()}


def marked(value: str) -> set[int]:
    """Processes that were started with `MARK=value` and still run, zombies left out: they have no environment."""
    wanted = f"{MARK}={value}".encode()
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes().split(b"\0")
            except (OSError, ProcessLookupError):
                continue
            if wanted in environment:
                found.add(int(entry.name))
    return found


def zombies(parents: Sequence[int]) -> list[int]:
    """Children of these processes that have ended and were not waited for."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (OSError, ProcessLookupError):
                continue
            if fields[0] == "Z" and int(fields[1]) in parents:
                found.append(int(entry.name))
    return found


def descriptors(pid: int) -> int:
    """Open files of a process."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def own_descriptors(supervisor: int) -> int:
    """Open files of a gateway's processes, less connections of clients and idle ones to instances."""
    shared = Shared(supervisor)
    pids = [shared.word(row_word(row, R_PID)) for row in range(shared.rows)]
    connections = sum(
        shared.word(row_word(row, word)) for row in range(shared.rows) for word in (R_CONNECTIONS, R_UPSTREAM_IDLE)
    )
    return sum(descriptors(pid) for pid in (supervisor, *pids) if pid) - connections


def grown(supervisor: int, before: int, slack: int = 2) -> str:
    """ "" once a gateway holds no more descriptors than `before`; else by how many, after some patience."""
    deadline, more = time.monotonic() + PATIENCE, 0
    while time.monotonic() < deadline:
        more = own_descriptors(supervisor) - before
        if more <= slack:
            return ""
        time.sleep(0.5)
    return f"{more} descriptors more than at the start"
