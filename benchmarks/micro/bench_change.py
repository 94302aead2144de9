"""What the supervisor computes for one change of one service among many, by part: milliseconds, median of many.

Run: python -m benchmarks.micro.bench_change [SERVICES [INSTANCES OF EACH]]

One instance more or less in an answer of a source, until the snapshot is on the board and the agent knows what to
probe. No Consul and no workers: `make scale` has those.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from discovery.model import Instance, Origin, OriginKind, ServiceSpec
from discovery.settings import HealthSettings
from discovery.source import Answer
from gateway.config.load import load
from gateway.shm import memory
from gateway.shm.board import BoardWriter, board_bytes
from gateway.supervisor.publisher import Publisher
from gateway.supervisor.registry import Registry
from healthcheck.agent import HealthAgent

CHANGES = 200


class Timed:
    """Calls, timed by name."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = defaultdict(list)

    def __call__(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self.spent[name].append((time.perf_counter() - began) * 1e3)

        return timed


def main() -> None:
    services = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    each = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    timed = Timed()
    registry = Registry()
    agent = HealthAgent(lambda transition: None, lambda target, verdict: None, lambda trouble: None)
    board = BoardWriter(memory.attach(memory.create("board", board_bytes()), writable=True))
    specs = [
        ServiceSpec(f"s{n}", Origin(OriginKind.TAG, f"s{n}"), consul=f"s{n}", health=HealthSettings())
        for n in range(services)
    ]
    registry.apply_config(specs, [], load(None, environ={}).worker_settings())
    instances = {
        spec.name: tuple(Instance(f"10.{n // 250}.{n % 250}.{k}", 80) for k in range(each))
        for n, spec in enumerate(specs)
    }
    for name, listed in instances.items():
        registry.apply_event(Answer("consul", name, listed))
    publisher = Publisher(registry, board, lambda: None, timed("probe", agent.reconcile), lambda services: None)
    publisher.publish()
    gc.collect()
    gc.freeze()
    for owner, attribute in (
        (registry, "build"),
        (publisher._encoder, "encode"),
        (board, "publish"),
        (publisher._notices, "review"),
        (publisher._notices, "report"),
    ):
        setattr(owner, attribute, timed(attribute, getattr(owner, attribute)))
    timed.spent.clear()
    apply, publish = timed("apply", registry.apply_event), timed("in all", publisher.publish)
    for change in range(CHANGES):
        name = f"s{change * 7 % services}"
        more = (*instances[name], Instance("10.99.0.1", 80)) if change % 2 else instances[name][1:]
        apply(Answer("consul", name, more))
        publish()
    for part, spent in timed.spent.items():
        print(f"{part:10} {statistics.median(spent):7.3f} ms, {max(spent):7.3f} at most", file=sys.stderr)


if __name__ == "__main__":
    main()
