"""What an answer of /metrics costs, by instances, and what prometheus-client would take for it by itself.

Run: python -m benchmarks.micro.bench_metrics

CPU time of the thread, best of several; between two answers some of the instances have got requests.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from prometheus_client.exposition import choose_encoder

from gateway.admin.exposition import Exposition, GatewayCollector
from gateway.admin.facts import Facts, ServiceFacts
from gateway.admin.metrics import measure, read_ledger
from gateway.shm.ledger import Ledger
from tests.unit.fake_gateway import count, figures, instance, make_facts, make_ledger

WORKERS = 4
PER_SERVICE = 10
ROUNDS = 7
FORMATS = {"text": "", "OpenMetrics": "application/openmetrics-text;version=1.0.0"}


def gateway_of(instances: int) -> Facts:
    """Services of ten instances each."""
    services = tuple(
        ServiceFacts(
            f"service-{at}",
            "consul: service",
            "least_connections",
            f"service-{at}",
            tuple(instance(f"10.0.{at}.{n}:9001", 1 + at * PER_SERVICE + n) for n in range(PER_SERVICE)),
        )
        for at in range(instances // PER_SERVICE)
    )
    return replace(make_facts(), services=services)


def traffic(ledger: Ledger, instances: int) -> None:
    """Two requests for every instance, on average."""
    for _ in range(2 * instances):
        count(ledger, random.randrange(WORKERS), random.randint(1, instances), 1, seconds=random.expovariate(100))


T = TypeVar("T")


def timed(call: Callable[[], T]) -> tuple[float, T]:
    """Milliseconds of CPU, and the result."""
    began = time.thread_time()
    result = call()
    return (time.thread_time() - began) * 1e3, result


def bench(instances: int, accept: str) -> str:
    """The columns after the format."""
    facts, ledger, exposition = gateway_of(instances), make_ledger(WORKERS), Exposition()
    reads, measures, writes = [], [], []
    for _ in range(ROUNDS):
        traffic(ledger, instances)
        took, reading = timed(partial(read_ledger, facts, figures(facts), ledger, time.time()))
        reads.append(took)
        took, measured = timed(partial(measure, reading))
        measures.append(took)
        took, (body, _) = timed(partial(exposition.render, measured, accept))
        writes.append(took)
    library, _ = timed(partial(choose_encoder(accept)[0], GatewayCollector(measured)))
    columns = (min(reads), min(measures), writes[0], min(writes), library)
    return "".join(f"{each:9.1f}" for each in columns) + f"{len(body.splitlines()):9} {len(body) / 1e6:8.2f}"


def main() -> None:
    columns = ("read", "measure", "first", "write", "library", "lines", "MB")
    print("instances  format     ", "".join(f"{each:>9}" for each in columns), "(ms of CPU)")
    for instances in (100, 1000, 5000):
        for name, accept in FORMATS.items():
            print(f"{instances:9}  {name:11} {bench(instances, accept)}")


if __name__ == "__main__":
    main()
