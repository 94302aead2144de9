"""CPU that the health agent takes a probe, over real sockets, against a cheap backend in another process.

python -m benchmarks.micro.bench_probes [--targets 5000] [--interval 5] [--seconds 20] [--type http|tcp]
                                        [--profile]

Counted is the CPU time of this process, its kernel time included, after the first probes of all targets; the agent's
whole share is in it: scheduling, sockets, verdicts. Loopback does the backend's half of the kernel's work in part on
the prober's account. `late` is how long after they were due probes began.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import subprocess
import sys
import time
from typing import Final

import trio

from discovery.settings import HealthSettings, ProbeType
from healthcheck.agent import HealthAgent, Record
from healthcheck.conversation import Probe
from healthcheck.model import Target, Verdict
from healthcheck.wire import Flight, Wire

# One connection after the other: a probe sends its request as it connects, so nothing here waits.
BACKEND: Final = """
import socket
ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Type: text/plain\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok"
listener = socket.create_server(("", 0), backlog=4096)
print(listener.getsockname()[1], flush=True)
while True:
    connection, _ = listener.accept()
    with connection:
        try:
            connection.recv(4096)
            connection.send(ANSWER)
        except OSError:
            continue
"""


class Watched(Wire[Record]):
    """A wire that notes how late probes began."""

    def __init__(self) -> None:
        super().__init__()
        self.late: list[float] = []

    def start(self, key: Record, probe: Probe) -> Flight[Record]:
        self.late.append(key.started - key.due)
        return super().start(key, probe)


async def measure(targets: int, seconds: float, settings: HealthSettings, port: int) -> None:
    """Probe for a while, print what it took."""
    verdicts: list[Verdict] = []
    wire = Watched()
    agent = HealthAgent(
        lambda transition: None, lambda target, verdict: verdicts.append(verdict), lambda text: None, network=wire
    )
    # All of 127.0.0.0/8 is this machine: as many addresses as targets, as many ports as a probe may want.
    agent.reconcile(
        {Target("s", f"127.{n >> 14 & 255}.{n >> 7 & 127}.{n & 127 or 128}:{port}"): settings for n in range(targets)}
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(agent.run)
        while len(verdicts) < targets:  # noqa: ASYNC110
            await trio.sleep(0.1)
        failed = sum(not verdict.ok for verdict in verdicts)
        print(f"first probes: {targets}, failed {failed}")
        await trio.sleep(settings.interval)
        verdicts.clear()
        wire.late.clear()
        cpu, began = time.process_time(), time.perf_counter()
        await trio.sleep(seconds)
        cpu, took = time.process_time() - cpu, time.perf_counter() - began
        nursery.cancel_scope.cancel()
    late = sorted(wire.late)
    failed = sum(not verdict.ok for verdict in verdicts)
    print(
        f"{len(verdicts)} probes in {took:.1f} s ({targets / settings.interval:.0f} a second wanted), failed {failed}"
    )
    print(f"CPU a probe {cpu / len(verdicts) * 1e6:6.0f} us, {cpu / took * 100:5.2f} % of a core")
    print(f"late median {late[len(late) // 2] * 1e3:6.1f} ms, p99 {late[len(late) * 99 // 100] * 1e3:.1f} ms, "
          f"most {late[-1] * 1e3:.1f} ms")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--targets", type=int, default=5000)
    parser.add_argument("--interval", type=float, default=5.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--type", choices=["http", "tcp"], default="http")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    settings = HealthSettings(type=ProbeType(options.type), interval=options.interval)
    with subprocess.Popen([sys.executable, "-c", BACKEND], stdout=subprocess.PIPE) as backend:
        assert backend.stdout is not None
        port = int(backend.stdout.readline())
        profile = cProfile.Profile()
        try:
            if options.profile:
                profile.enable()
            trio.run(measure, options.targets, options.seconds, settings, port)
        finally:
            profile.disable()
            backend.kill()
        if options.profile:
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
