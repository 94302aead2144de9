"""What the clients saw since it was last asked, collected from their threads."""

import threading
from collections import Counter
from dataclasses import dataclass

from benchmarks.load.measure import percentile


@dataclass(frozen=True, slots=True)
class Seen:
    """One interval. Latencies in microseconds, of the steady requests alone: slow clients are slow on purpose."""

    requests: int
    by_kind: dict[str, int]
    """Requests that were answered as they should be, by kind of client; for those that abort: that were sent."""
    failures: dict[str, int]
    """Requests that were not, by kind and cause."""
    p50_us: float
    p99_us: float
    p999_us: float


class Tally:
    """Written by every client, read by one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._latencies: list[float] = []

    def done(self, kind: str, microseconds: float | None) -> None:
        """One request went as it should. None: its time says nothing."""
        with self._lock:
            self._done[kind] += 1
            if microseconds is not None:
                self._latencies.append(microseconds)

    def failed(self, kind: str, cause: str) -> None:
        """One request did not."""
        with self._lock:
            self._failed[f"{kind}: {cause}"] += 1

    def take(self) -> Seen:
        """Everything since the last call."""
        with self._lock:
            done, failed, latencies = self._done, self._failed, self._latencies
            self._done, self._failed, self._latencies = Counter(), Counter(), []
        latencies.sort()
        p50, p99, p999 = (percentile(latencies, percent) for percent in (50, 99, 99.9))
        return Seen(done.total(), dict(done), dict(failed), p50, p99, p999)
