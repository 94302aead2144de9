"""Nanoseconds per pick for every balance, by number of instances and of workers, idle and busy.

Run: python -m benchmarks.micro.bench_balance
"""

from __future__ import annotations

import time
import timeit
from collections.abc import Sequence

from gateway.balance.instance import LiveInstance
from gateway.balance.outlier import OutlierDetector
from gateway.balance.picker import BALANCES, make_picker
from gateway.shm.layout import ROW_WORDS

SIZES = (1, 3, 16, 200, 1_000)
ROWS = (1, 4)
LOOPS = 1_000  # short runs, many of them: the best is one that nothing disturbed
REPEATS = 150


def service(size: int, rows: int, words: memoryview, load: int) -> Sequence[LiveInstance]:
    """Instances with about `load` requests in flight on each, spread over the workers."""
    instances = []
    for cell in range(size):
        instance = LiveInstance("users", f"10.0.{cell // 250}.{cell % 250}", 8080, cell, 0, rows)
        for row, word in enumerate(instance.in_flight_words):
            words[word] = load * (1 + (cell * 7 + row * 3) % 5)
        instance.ewma = 0.010 + cell % 7 * 0.001
        instances.append(instance)
    return instances


def best(statement: str, names: dict[str, object]) -> float:
    return min(timeit.Timer(statement, globals=names).repeat(REPEATS, LOOPS)) / LOOPS * 1e9


def main() -> None:
    words = memoryview(bytearray(8 * (8 + max(ROWS) * ROW_WORDS))).cast("Q")
    print("ns per pick             | instances " + "".join(f"{size:>8,}" for size in SIZES) + "   built, ms")
    for balance in BALANCES:
        for rows in ROWS:
            for load in (0, 1):
                row = f"{balance:18} {rows} worker{'s' if rows > 1 else ' '} {'busy' if load else 'idle'}   "
                built = 0.0
                for size in SIZES:
                    instances = service(size, rows, words, load)
                    begin = time.perf_counter()
                    picker = make_picker(balance, instances, words, 0, 0)
                    built = time.perf_counter() - begin
                    row += f"{best('pick(0.0, key, ())', {'pick': picker.pick, 'key': b'203.0.113.77'}):8.0f}"
                print(f"{row}{built * 1e3:12.1f}")
    instance = service(1, 1, words, 0)[0]
    latency = make_picker("least_latency", [instance], words, 0, 0)
    record = OutlierDetector(5, 30.0).record
    print(f"observe, least_latency {best('observe(i, 0.001, 1.0)', {'observe': latency.observe, 'i': instance}):17.0f}")
    print(f"record, outlier, ok {best('record(i, True, 1.0, False)', {'record': record, 'i': instance}):20.0f}")


if __name__ == "__main__":
    main()
