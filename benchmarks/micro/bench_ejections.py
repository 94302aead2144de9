"""From a worker's ejection of an instance to its being in force in every worker.

Run: python -m benchmarks.micro.bench_ejections

A real gateway; every service has a live instance and one that refuses connections, which the first request that
meets it ejects. The time of the ejection is in the ledger; the ledger's generations tell when each worker uses
the snapshot that says so.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import tempfile
import time
from pathlib import Path

from gateway.shm.layout import I_EJECTED_UNTIL_NS, instance_word
from gateway.shm.ledger import Ledger
from tests.backends import free_port, start_backend
from tests.gateways import RunningGateway, start_gateway
from tests.ledger_peek import generations, open_ledger

EJECT_SECONDS = 60
ATTEMPTS = 50  # requests that should meet the dead instance: the pick is in turns
POLL = 0.0001  # seconds: this process must not take the CPU from those that it watches
PATIENCE = 5.0  # seconds for one ejection to reach everybody


def config(live: str, dead: list[int]) -> str:
    """A service and a route for each dead port."""
    services = "\n".join(
        f"""
[[services]]
name = "s{n}"
instances = ["{live}", "http://127.0.0.1:{port}"]
balance = "round_robin"
health = {{ type = "none" }}
outlier = {{ consecutive_failures = 1, eject_time = {EJECT_SECONDS} }}
[[routes]]
path = "/{n}"
service = "s{n}"
"""
        for n, port in enumerate(dead)
    )
    return f'[log]\naccess = "off"\n{services}'


def ask(gateway: RunningGateway, n: int) -> socket.socket:
    """A request to the service whose answer is still to be read."""
    sock = socket.create_connection(("127.0.0.1", gateway.port))
    sock.sendall(f"GET /{n} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    return sock


def ejected_at(ledger: Ledger, cell: int) -> int:
    """CLOCK_MONOTONIC in ns; 0: not yet."""
    until = max(ledger.words[instance_word(row, cell, I_EJECTED_UNTIL_NS)] for row in range(ledger.rows))
    return until - EJECT_SECONDS * 10**9 if until else 0


def measure(gateway: RunningGateway, ledger: Ledger, n: int, cell: int) -> float:
    """Seconds from the ejection to the last worker's use of it."""
    for _ in range(ATTEMPTS):
        before = max(generations(ledger))
        end = time.monotonic() + PATIENCE
        with ask(gateway, n) as sock:
            sock.settimeout(PATIENCE)
            sock.setblocking(False)
            while not (at := ejected_at(ledger, cell)) and time.monotonic() < end:
                try:
                    if not sock.recv(65536):
                        break
                except BlockingIOError:
                    time.sleep(POLL)
            while at and min(generations(ledger)) <= before:
                time.sleep(POLL)
                if time.monotonic() > end:
                    raise SystemExit(f"the ejection in s{n} did not reach every worker in {PATIENCE} s")
            if at:
                return (time.monotonic_ns() - at) / 1e9
    raise SystemExit(f"nobody was ejected in s{n} after {ATTEMPTS} requests: is its port in use by now?")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--ejections", type=int, default=300)
    options = parser.parse_args()
    dead = [free_port() for _ in range(options.ejections)]
    with start_backend("live") as live, tempfile.TemporaryDirectory() as folder:
        with start_gateway(Path(folder), config(live.url, dead), workers=options.workers) as gateway:
            ledger = open_ledger(gateway.pid)
            seconds = []
            for place, n in enumerate(sorted(range(len(dead)), key=str)):  # cells are given out in order of names
                seconds.append(measure(gateway, ledger, n, 2 * place + 1))
                time.sleep(0.02)  # a quiet gateway: the next publication passes at once
        cuts = statistics.quantiles(seconds, n=100)
        print(
            f"{len(seconds)} ejections, {options.workers} workers, to the last one: p50 {cuts[49] * 1e3:.2f} ms, "
            f"p99 {cuts[98] * 1e3:.2f} ms, max {max(seconds) * 1e3:.2f} ms"
        )


if __name__ == "__main__":
    main()
