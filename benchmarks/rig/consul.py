"""A real Consul for benchmarks: one agent, or three servers and a client, on loopback and free ports.

`raft_multiplier` is 1, which is what Consul's documentation asks of production servers.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

from benchmarks.load.processes import free_ports
from benchmarks.rig.children import Restartable, Stuck, child, wait_until

GET_CONSUL = Path(__file__).parent.parent.parent / "scripts" / "get_consul.sh"
START_SECONDS = 60.0
SINGLE = "bootstrap_expect = 1"
"""Configuration of the only server."""

Role = Literal["dev", "server", "client"]
"""A dev agent forgets everything when it ends; a server keeps it on disk; a client asks the servers."""


class ConsulRefused(Exception):
    """Consul gave no good answer."""


@functools.cache
def binary() -> str:
    """The path of a Consul binary. Raises Stuck, with the reason, without one."""
    found = subprocess.run([str(GET_CONSUL)], capture_output=True, text=True, check=False)
    if found.returncode:
        raise Stuck(f"no Consul: {found.stderr.strip()}")
    return found.stdout.strip()


@functools.cache
def version() -> str:
    """Such as `Consul v1.8.7`."""
    return subprocess.run([binary(), "version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


class Consul(Restartable):
    """One agent. It can be ended and started again at the same address."""

    def __init__(self, folder: Path, name: str = "one", role: Role = "dev", config: str = "") -> None:
        """`config` is HCL added to its own."""
        self.name = name
        self.ports = free_ports(3)  # http, server, serf
        self.port = self.ports[0]
        self.address = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._role = role
        self.config = config
        self._stack = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running agent."""
        assert self._process is not None, "it is not running"
        return self._process.pid

    def start(self, *, wait: bool = True) -> None:
        """Returns once it has a leader and knows its own node."""
        http_port, server, serf = self.ports
        minor = tuple(int(part) for part in version().rpartition("v")[2].split(".")[:2])
        tls = "grpc_tls = -1" if minor >= (1, 14) else ""
        listening = f"http = {http_port} server = {server} serf_lan = {serf} serf_wan = -1 dns = -1 grpc = -1 {tls}"
        words = [binary(), "agent", "-bind=127.0.0.1", "-client=127.0.0.1", f"-node={self.name}", "-log-level=warn"]
        words += ["-hcl", f"ports {{ {listening} }}", "-hcl", "disable_update_check = true"]
        words += [
            "-hcl",
            "performance { raft_multiplier = 1 }",
        ]
        data = f"-data-dir={self._folder / self.name}"
        words += {"dev": ["-dev"], "server": ["-server", data], "client": [data]}[self._role]
        words += ["-hcl", self.config] if self.config else []
        self._process = self._stack.enter_context(child(words, log=self._folder / f"{self.name}.log"))
        if wait:
            wait_until(self.is_up, START_SECONDS, f"Consul {self.name} with a leader at {self.address}")

    def is_up(self) -> bool:
        """Does it know itself, and a leader?"""
        if self._process is not None and self._process.poll() is not None:
            raise Stuck(f"Consul {self.name} ended; see {self._folder / f'{self.name}.log'}")
        try:
            return bool(self.get(f"/v1/health/node/{self.name}")) and bool(self.get("/v1/status/leader"))
        except (OSError, ConsulRefused, http.client.HTTPException):
            return False

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it, if it runs: SIGKILL, or with SIGTERM in good order."""
        if self._process is not None and number is not signal.SIGKILL and self._process.poll() is None:
            self._process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(15)
        self._stack.close()
        self._process = None

    # --- its API -----------------------------------------------------------------------------
    def get(self, path: str) -> Any:
        """The JSON at a path. Raises ConsulRefused or OSError."""
        return json.loads(self._ask("GET", path, None))

    def put(self, path: str, body: object = None) -> None:
        """Raises ConsulRefused or OSError."""
        self._ask("PUT", path, body)

    def _ask(self, method: str, path: str, body: object) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise ConsulRefused(f"{method} {path}: {answer.status} {text[:200].decode(errors='replace')}")
        return text

    def register(
        self, name: str, address: str, *, tags: Sequence[str] = (), weight: int = 1, check: Mapping[str, object] | None
    ) -> None:
        """Register an instance (host:port), or register it anew; its id is `name-host:port`."""
        host, _, port = address.rpartition(":")
        body: dict[str, object] = {"ID": f"{name}-{address}", "Name": name, "Address": host, "Port": int(port)}
        body |= {"Tags": list(tags), "Weights": {"Passing": weight, "Warning": 1}}
        body |= {"Check": dict(check)} if check else {}
        self.put("/v1/agent/service/register", body)

    def deregister(self, name: str, address: str) -> None:
        """Take an instance out."""
        self.put(f"/v1/agent/service/deregister/{name}-{address}")

    def set_check(self, name: str, address: str, status: str) -> None:
        """The state of an instance's own TTL check: passing, warning or critical."""
        self.put(f"/v1/agent/check/update/service:{name}-{address}", {"Status": status})

    def maintain(self, name: str, address: str, *, enable: bool) -> None:
        """Maintenance on or off."""
        self.put(f"/v1/agent/service/maintenance/{name}-{address}?enable={str(enable).lower()}&reason=benchmark")


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[tuple[Consul, tuple[Consul, ...]]]:
    """A client agent, as a host beside the servers has it, and three servers that have elected a leader."""
    servers = tuple(Consul(folder, name, "server") for name in ("one", "two", "three"))
    join = ", ".join(f'"127.0.0.1:{each.ports[2]}"' for each in servers)
    client = Consul(folder, "client", "client", f"retry_join = [{join}]")
    with ExitStack() as stack:
        for each in servers:
            each.config = f'bootstrap_expect = 3 retry_join = [{join}] retry_interval = "1s"'
            stack.callback(each.end)
            each.start(wait=False)
        for each in servers:
            wait_until(each.is_up, START_SECONDS, f"a leader, seen from {each.name}")
        yield stack.enter_context(client), servers


def leader(servers: Sequence[Consul]) -> Consul:
    """Who leads, as the first that answers says. Raises Stuck when nobody knows."""
    for each in servers:
        with contextlib.suppress(OSError, ConsulRefused, http.client.HTTPException):
            said = str(each.get("/v1/status/leader"))
            for other in servers:
                if said.endswith(f":{other.ports[1]}"):
                    return other
    raise Stuck("no server knows a leader")


def voters(servers: Sequence[Consul]) -> int:
    """How many of them vote, as the first that answers says: one that comes back does not for its first ten seconds."""
    for each in servers:
        with contextlib.suppress(OSError, ConsulRefused, http.client.HTTPException):
            return sum(bool(server["Voter"]) for server in each.get("/v1/operator/raft/configuration")["Servers"])
    return 0
