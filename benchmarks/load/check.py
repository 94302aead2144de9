"""Whether a peer does the work it is measured at: asked before the load, counted after it.

Every function returns sentences about what is wrong; none means the row counts.
"""

import http.client
from collections.abc import Mapping

from benchmarks.load.measure import Load
from benchmarks.load.workloads import Workload

ECHO = "/echo"
"""Path under which the upstream answers with what it received, one `name=value` a line."""
SAMPLES = 32
"""Enough that an instance chosen at random one time in three is missed once in 400,000 runs."""
LOG_TOLERANCE = 0.01


def _ask(
    port: int, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body=body or None, headers=dict(headers or {}))
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def sample_problems(port: int, workload: Workload, body: bytes, upstream_ports: tuple[int, ...]) -> list[str]:
    """One request of the workload, then enough echoes to see headers, fresh ids and every instance."""
    problems: list[str] = []
    status, headers, received = _ask(port, workload.method, workload.path, b"x" * workload.request_bytes)
    if status != 200:
        return [f"a sample request was answered {status}"]
    if received != body:
        problems.append(f"the sample's body is not the upstream's ({len(received)} bytes instead of {len(body)})")
    problems += [f"the response has no {name}" for name in ("x-gateway", "x-request-id") if not headers.get(name)]

    seen_ports: set[int] = set()
    seen_ids: set[str] = set()
    for _ in range(SAMPLES):
        status, headers, received = _ask(port, "GET", ECHO, headers={"Host": "bench.example:8080"})
        if status != 200:
            return [*problems, f"an echo was answered {status}"]
        echoed = dict(line.split("=", 1) for line in received.decode(errors="replace").splitlines() if "=" in line)
        expected = {
            "for": "127.0.0.1",
            "proto": "http",
            "forwarded_host": "bench.example:8080",
            "host": "bench.example:8080",
        }
        wrong = {name: echoed.get(name) for name, value in expected.items() if echoed.get(name) != value}
        if wrong:
            return [*problems, f"the forwarded request is not as agreed: {wrong}"]
        if not echoed["request_id"] or echoed["request_id"] != headers.get("x-request-id"):
            return [*problems, "request and response do not carry the same X-Request-ID"]
        seen_ids.add(echoed["request_id"])
        seen_ports.add(int(echoed["port"]))
    if len(seen_ids) != SAMPLES:
        problems.append("request ids repeat")
    if seen_ports != set(upstream_ports):
        problems.append(f"only instances {sorted(seen_ports)} of {sorted(upstream_ports)} were used")
    return problems


def load_problems(load: Load, workload: Workload) -> list[str]:
    """Errors that the load generator met."""
    problems = []
    if load.requests == 0:
        problems.append("no request was answered")
    if load.non_2xx:
        problems.append(f"{load.non_2xx} responses outside 2xx")
    if load.socket_errors:
        problems.append(f"{load.socket_errors} socket errors")
    least = load.requests * workload.response_bytes
    if load.bytes < least:
        problems.append(f"{load.bytes} bytes received, {least} expected")
    return problems


def is_log_complete(lines: int, load: Load, workload: Workload) -> bool:
    """Within 1 %; what was under way when the load ended may be logged, and is not counted by the generator."""
    slack = load.requests * LOG_TOLERANCE
    return load.requests - slack <= lines <= load.requests + slack + workload.connections
