"""How long a real gateway takes to answer /metrics: wall time at the client, CPU of the supervisor.

Run: python -m benchmarks.micro.bench_scrape [GW [INSTANCES]]

Services of ten instances each, all of them one process behind many loopback addresses, each probed every 5 s. Between
two scrapes every service gets some requests, so that most instances have new figures in each of them. It is asked in
OpenMetrics, as Prometheus does.
"""

from __future__ import annotations

import http.client
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.events.stage import environment
from benchmarks.load.processes import free_ports
from benchmarks.rig.children import child, wait_until

PER_SERVICE = 10
SCRAPES = 20
REQUESTS = 2000  # between two scrapes
ACCEPT = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"


def config(listen: int, admin: int, port: int, instances: int) -> str:
    """Addresses of 127.0.0.0/8: every one of them reaches the one process, which listens on all."""
    parts = [f'[gateway]\nlisten = ["127.0.0.1:{listen}"]\nadmin = "127.0.0.1:{admin}"\n[log]\naccess = "off"\n']
    for service in range(instances // PER_SERVICE):
        hosts = (f'"http://127.{1 + service // 250}.{service % 250}.{1 + n}:{port}"' for n in range(PER_SERVICE))
        parts.append(f'[[services]]\nname = "s{service}"\ninstances = [{", ".join(hosts)}]\n')
        parts.append(f'[[routes]]\npath = "/s{service}/*"\nservice = "s{service}"\n')
    return "\n".join(parts)


def load(port: int, services: int) -> None:
    """REQUESTS of them, one after another."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for _ in range(REQUESTS):
        connection.request("GET", f"/s{random.randrange(services)}/x")
        connection.getresponse().read()
    connection.close()


def cpu_ms(pid: int) -> float:
    """CPU time of a process, all of its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def scrape(admin: int) -> tuple[float, int]:
    """Milliseconds from the request's first byte to the answer's last, connection included; bytes."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", admin, timeout=10)
    connection.request("GET", "/metrics", headers={"Accept": ACCEPT})
    size = len(connection.getresponse().read())
    connection.close()
    return (time.perf_counter() - began) * 1e3, size


def main() -> None:
    command = str(Path(sys.argv[1]).resolve()) if len(sys.argv) > 1 else str(Path(sys.executable).with_name("gw"))
    instances = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    listen, admin, port = free_ports(3)
    with tempfile.TemporaryDirectory(prefix="gw-scrape-") as made:
        folder = Path(made)
        file = folder / "gateway.toml"
        file.write_text(config(listen, admin, port, instances))
        server = [sys.executable, "-P", "-m", "benchmarks.events.instance", "all", "0", f"0.0.0.0:{port}"]
        up = [command, "up", "-c", str(file), "--workers", "2"]
        log = folder / "log"
        with (
            child(server, log=log, environment=environment(), pipes=True) as instance,
            child(up, log=log, folder=folder) as gateway,
        ):
            assert instance.stdout is not None
            instance.stdout.readline()

            def is_ready() -> bool:
                try:
                    connection = http.client.HTTPConnection("127.0.0.1", admin, timeout=10)
                    connection.request("GET", "/ready")
                    return connection.getresponse().status == 200
                except OSError:
                    return False

            wait_until(is_ready, 60.0, "the gateway ready")
            first, size = scrape(admin)
            walls, costs = [], []
            for _ in range(SCRAPES):
                load(listen, instances // PER_SERVICE)
                before = cpu_ms(gateway.pid)
                time.sleep(0.5)
                idle = cpu_ms(gateway.pid)
                wall, size = scrape(admin)
                walls.append(wall)
                costs.append(cpu_ms(gateway.pid) - idle - (idle - before) * wall / 500)
    walls.sort()
    print(
        f"{instances} instances, {size / 1e6:.2f} MB: first {first:.0f} ms; then p50 {statistics.median(walls):.0f} ms,"
    )
    print(f"longest {walls[-1]:.0f} ms; CPU {statistics.fmean(costs):.0f} ms a scrape")


if __name__ == "__main__":
    main()
