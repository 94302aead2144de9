"""Whether a peer does the work it is measured at: asked before the load, counted after it.

Every function returns sentences about what is wrong; none means the row counts.
"""

import hashlib
import http.client
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.measure import Load
from benchmarks.load.sink import VERIFY
from benchmarks.load.upstream import ECHO, digest_of
from benchmarks.load.workloads import Workload, route_names

SAMPLES = 32
"""Echoes at the least."""
SPREAD_TIME = 20.0
"""Seconds in which every instance must have been seen: some peers probe them all before they use them."""
LOG_TOLERANCE = 0.01
_HOST = "bench.example:8080"
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Sampled:
    """What the samples showed. `request_id` is the last one, which the access log must have."""

    problems: tuple[str, ...]
    request_id: str = ""


def _connect(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=30, blocksize=_PIECE)


def sample(port: int, workload: Workload, upload: Path, upstream_ports: tuple[int, ...]) -> Sampled:
    """One request of the workload, a path outside all routes, and echoes until every instance has answered."""
    problems = _body_problems(port, workload, upload)
    if workload.routes > 1 and (status := _status(port, "/nowhere")) != 404:
        problems.append(f"a path outside all routes was answered {status}")
    echoes = Echoes(workload, set(upstream_ports))
    connection = _connect(port)
    try:
        deadline = time.monotonic() + SPREAD_TIME
        while not problems and not echoes.is_enough() and time.monotonic() < deadline:
            connection.request("GET", workload.prefix + ECHO, headers={"Host": _HOST})
            response = connection.getresponse()
            problems += echoes.take(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()
    return Sampled(tuple(problems or echoes.problems()), echoes.last_id)


def _status(port: int, path: str) -> int:
    connection = _connect(port)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def _body_problems(port: int, workload: Workload, upload: Path) -> list[str]:
    """The workload's own request: body and headers of its response, and what came of its body at the upstream."""
    connection = _connect(port)
    try:
        if workload.is_upload:
            headers = {"Content-Length": str(workload.request_bytes), VERIFY: "sha256"}
            with upload.open("rb") as body:
                connection.request(workload.method, workload.path, body=body, headers=headers)
        else:
            connection.request(workload.method, workload.path, body=b"x" * workload.request_bytes or None)
        response = connection.getresponse()
        digest, size, tail = hashlib.sha256(), 0, b""
        while piece := response.read(_PIECE):
            digest.update(piece)
            size += len(piece)
            tail = piece
    finally:
        connection.close()
    if response.status != 200:
        return [f"a sample request was answered {response.status}"]
    problems = []
    if workload.is_upload:
        if tail.decode(errors="replace") != digest_of(workload.request_bytes):
            problems.append("the upstream did not receive the body that was sent")
    elif digest.hexdigest() != digest_of(workload.response_bytes):
        problems.append(f"the sample's body is not the upstream's ({size} bytes, not {workload.response_bytes})")
    missing = [name for name in ("X-Gateway", "X-Request-ID") if not response.getheader(name)]
    return problems + [f"the response has no {name}" for name in missing]


class Echoes:
    """What instances say that they were sent."""

    def __init__(self, workload: Workload, wanted: set[int]) -> None:
        self._expected = {
            "for": "127.0.0.1",
            "proto": "http",
            "forwarded_host": _HOST,
            "host": _HOST,
            "route": route_names(workload.routes)[-1],
        }
        self._wanted = wanted
        self._seen: set[int] = set()
        self._ids: set[str] = set()
        self._count = 0
        self._most_served = 0
        self.last_id = ""

    def is_enough(self) -> bool:
        return self._count >= SAMPLES and self._seen >= self._wanted

    def take(self, status: int, headers: Mapping[str, str], body: bytes) -> list[str]:
        if status != 200:
            return [f"an echo was answered {status}"]
        echoed = dict(line.split("=", 1) for line in body.decode(errors="replace").splitlines() if "=" in line)
        wrong = {name: echoed.get(name) for name, value in self._expected.items() if echoed.get(name) != value}
        if wrong:
            return [f"the forwarded request is not as agreed: {wrong}"]
        answered = {name.lower(): value for name, value in headers.items()}
        self.last_id = echoed["request_id"]
        if not self.last_id or self.last_id != answered.get("x-request-id"):
            return ["request and response do not carry the same X-Request-ID"]
        self._count += 1
        self._ids.add(self.last_id)
        self._seen.add(int(echoed["port"]))
        self._most_served = max(self._most_served, int(echoed["served"]))
        return []

    def problems(self) -> list[str]:
        problems = []
        if len(self._ids) != self._count:
            problems.append("request ids repeat")
        if self._seen != self._wanted:
            problems.append(f"{len(self._seen & self._wanted)} of {len(self._wanted)} instances were used")
        if self._most_served < 2:
            problems.append("connections to the instances are not kept")
        return problems


def metrics_problems(admin_port: int) -> list[str]:
    """Whether the peer counts at all."""
    status = _status(admin_port, "/metrics")
    return [] if status == 200 else [f"its metrics were answered {status}"]


def load_problems(load: Load, workload: Workload) -> list[str]:
    """Errors that the load generator met."""
    problems = []
    if load.requests == 0:
        problems.append("no request was answered")
    if load.non_2xx:
        problems.append(f"{load.non_2xx} responses outside 2xx")
    if load.socket_errors:
        problems.append(f"{load.socket_errors} socket errors")
    each = workload.response_bytes + (workload.request_bytes if workload.is_transfer else 0)
    if load.bytes < load.requests * each:
        problems.append(f"{load.bytes} bytes moved, {load.requests * each} expected")
    return problems


def is_log_complete(lines: int, loads: Sequence[Load], workload: Workload) -> bool:
    """Within 1 %; what was under way when a load ended may be logged, and is not counted by the generator. Nothing at
    all where no log was asked for."""
    if not workload.is_logged:
        return not lines
    requests = sum(load.requests for load in loads)
    slack = requests * LOG_TOLERANCE
    return requests - slack <= lines <= requests + slack + len(loads) * workload.connections


def has_line_with(log: Path, request_id: str) -> bool:
    """Whether an access log has a line for that request. The log is short when it is asked."""
    return log.exists() and request_id.encode() in log.read_bytes()
