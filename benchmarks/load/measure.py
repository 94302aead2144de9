"""What a tree of processes has used, read from /proc, and what a load generator reported.

CPU is user plus system time of every process in the tree, plus what its ended children left to it, in clock ticks
(10 ms on Linux): over a load of several seconds on a busy core that is exact to half a percent. Work that the kernel
does for a socket is counted to whoever was running when it was done; that holds for every peer alike.
"""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

RESULT = "RESULT "
"""How a load generator's line of figures begins."""

_TICK = 1.0 / os.sysconf("SC_CLK_TCK")

# Positions in /proc/PID/stat after the command's name, which may hold blanks and brackets (proc(5), fields 3...).
_PARENT, _USER, _SYSTEM, _CHILD_USER, _CHILD_SYSTEM = 1, 11, 12, 13, 14


@dataclass(frozen=True, slots=True)
class Load:
    """One run of the load generator. Latencies in microseconds."""

    requests: int
    seconds: float
    bytes: int
    non_2xx: int
    socket_errors: int
    p50_us: float
    p99_us: float
    p999_us: float

    @property
    def per_second(self) -> float:
        """Requests answered in a second."""
        return self.requests / self.seconds


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes held by a tree. `pss` counts a page shared by n processes as 1/n each: its sum is what is really used.
    `rss` counts it in full for each, and `peak` is the sum of the most that each process ever had of that."""

    rss: int
    pss: int
    peak: int


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None  # ended between the listing and the look
    return text[text.rindex(")") + 2 :].split()


def tree(root: int) -> tuple[int, ...]:
    """The root's pid and every descendant's, root first; empty when the root is gone."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))) is not None:
            parents[int(entry.name)] = int(fields[_PARENT])
    if root not in parents:
        return ()
    found = [root]
    for pid in found:  # grows while it is walked: breadth first
        found += [child for child, parent in parents.items() if parent == pid]
    return tuple(found)


def cpu_seconds(root: int) -> float:
    """User and system time used so far by the tree under `root`."""
    return sum(cpu_of(pid) for pid in tree(root))


def cpu_of(pid: int) -> float:
    """User and system time used so far by one process, and by its children that ended; 0 when it is gone."""
    fields = _stat(pid)
    if fields is None:
        return 0.0
    return sum(int(fields[at]) for at in (_USER, _SYSTEM, _CHILD_USER, _CHILD_SYSTEM)) * _TICK


def memory(root: int) -> Memory:
    """What the tree under `root` holds now."""
    return memory_of(tree(root))


def memory_of(pids: Sequence[int]) -> Memory:
    """What these processes hold now."""
    rss = pss = peak = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            lines += Path(f"/proc/{pid}/status").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended meanwhile
        sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith("kB")}
        rss += sizes.get("Rss", 0)
        pss += sizes.get("Pss", 0)
        peak += sizes.get("VmHWM", 0)
    return Memory(rss, pss, peak)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The value that `percent` of the values do not exceed (nearest rank); 0 of none."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else 0.0


def wrk_script(method: str, request_bytes: int, keep_alive: bool) -> str:
    """Lua for wrk: the request to send, and the whole result as one JSON line (wrk's own summary stops at p99)."""
    lines = [f'wrk.method = "{method}"']
    if request_bytes:
        lines.append(f'wrk.body = string.rep("x", {request_bytes})')
    if not keep_alive:
        lines.append('wrk.headers["Connection"] = "close"')
    lines.append(
        """
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"seconds":%.6f,"bytes":%d,"non_2xx":%d,"socket_errors":%d,' ..
    '"p50_us":%.1f,"p99_us":%.1f,"p999_us":%.1f}\\n',
    summary.requests, summary.duration / 1e6, summary.bytes, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"""
    )
    return "\n".join(lines)


def parse_result(output: str) -> Load:
    """Raises ValueError, with what the load generator printed, when there is no line of figures."""
    for line in output.splitlines():
        if line.startswith(RESULT):
            return Load(**json.loads(line.removeprefix(RESULT)))
    raise ValueError(f"the load generator gave no result: {output.strip()[-500:]}")


def count_lines(file: Path) -> int:
    """Newlines in a file; 0 when it does not exist yet."""
    if not file.exists():
        return 0
    total = 0
    with file.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            total += chunk.count(b"\n")
    return total
