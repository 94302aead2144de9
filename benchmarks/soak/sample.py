"""What one gateway holds at one moment, process by process, from /proc."""

import http.client
import json
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.measure import tree
from benchmarks.soak.tally import Seen


@dataclass(frozen=True, slots=True)
class Process:
    """One process. Memory in bytes; `pss` counts a page shared by n processes as 1/n."""

    role: str
    """`supervisor`, or `worker` and its number in order of pids."""
    pid: int
    rss: int
    pss: int
    descriptors: int
    threads: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One interval: what the clients saw in it, and the processes at its end."""

    at: float
    """Seconds since the traffic began."""
    seconds: float
    seen: Seen
    cpu_us: float
    """CPU microseconds of all processes in the interval, per request answered in it."""
    generation: int
    """Of the configuration in use; 0 when the gateway did not say."""
    processes: tuple[Process, ...]

    @property
    def rss(self) -> int:
        """Of all processes."""
        return sum(each.rss for each in self.processes)

    @property
    def pss(self) -> int:
        """Of all processes: what is really used."""
        return sum(each.pss for each in self.processes)

    @property
    def descriptors(self) -> int:
        """Of all processes."""
        return sum(each.descriptors for each in self.processes)

    @property
    def threads(self) -> int:
        """Of all processes."""
        return sum(each.threads for each in self.processes)


def processes(root: int) -> tuple[Process, ...]:
    """The supervisor and its workers. Raises FileNotFoundError or ProcessLookupError when one ends meanwhile."""
    found = []
    for number, pid in enumerate((root, *sorted(tree(root)[1:]))):
        folder = Path(f"/proc/{pid}")
        sizes = _sizes(folder / "smaps_rollup")
        threads = next(line for line in (folder / "status").read_text().splitlines() if line.startswith("Threads:"))
        role = f"worker {number}" if number else "supervisor"
        descriptors = sum(1 for _ in (folder / "fd").iterdir())
        found.append(Process(role, pid, sizes["Rss"], sizes["Pss"], descriptors, int(threads.split()[1])))
    return tuple(found)


def _sizes(file: Path) -> dict[str, int]:
    lines = (line.split() for line in file.read_text().splitlines() if line.endswith("kB"))
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines}


def generation(admin_port: int) -> int:
    """What the admin interface says is in use; 0 when it says nothing."""
    connection = http.client.HTTPConnection("127.0.0.1", admin_port, timeout=5)
    try:
        connection.request("GET", "/api/status")
        return int(json.loads(connection.getresponse().read())["generation"])
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return 0
    finally:
        connection.close()
