"""A real Consul of several agents on loopback: servers that elect a leader, and clients of theirs.

with ConsulCluster(tmp_path, servers=3) as cluster:
    cluster.leader().kill()
    cluster.wait_for_leader()
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tests.consul import START_SECONDS, ConsulServer

FAST = 'performance { raft_multiplier = 1 } leave_on_terminate = false gossip_lan { probe_interval = "200ms" }'


class ConsulAgent(ConsulServer):
    """One agent of a cluster, with a folder of its own."""

    def __init__(self, folder: Path, *, servers: int = 0, join: ConsulAgent | None = None) -> None:
        """`servers`: it is one of so many; 0: a client."""
        super().__init__(FAST)
        self.folder = folder
        self._servers = servers
        self._join = join

    @property
    def serf(self) -> str:
        return f"127.0.0.1:{self._ports[2]}"

    def _command(self) -> list[str]:
        role = ["-server", f"-bootstrap-expect={self._servers}"] if self._servers else []
        join = [f"-retry-join={self._join.serf}", "-retry-interval=1s"] if self._join else []
        where = [f"-node={self.folder.name}", f"-data-dir={self.folder}"]
        return [*self._agent(*role, *join, *where), "-hcl", self._config]

    def _is_up(self) -> bool:
        try:
            return self._request("GET", "/v1/agent/self").status_code == 200
        except httpx.HTTPError:
            return False

    def says_leader(self) -> bool:
        """Does it know a leader?"""
        try:
            answer = self._request("GET", "/v1/status/leader")
        except httpx.HTTPError:
            return False
        return answer.status_code == 200 and answer.json() != ""

    def is_leader(self) -> bool:
        return self.says_leader() and bool(self.get("/v1/status/leader") == f"127.0.0.1:{self._ports[1]}")

    def restart_empty(self) -> None:
        """Killed, its services forgotten, and started again."""
        self.kill()
        for what in ("services", "checks"):
            shutil.rmtree(self.folder / what, ignore_errors=True)
        self.start()


class ConsulCluster:
    """Servers and clients; a context manager."""

    def __init__(self, folder: Path, *, servers: int = 3, clients: int = 0) -> None:
        first = ConsulAgent(folder / "server0", servers=servers)
        others = (ConsulAgent(folder / f"server{n}", servers=servers, join=first) for n in range(1, servers))
        self.servers = [first, *others]
        self.clients = [ConsulAgent(folder / f"client{n}", join=first) for n in range(clients)]

    def __enter__(self) -> Self:
        try:
            for agent in (*self.servers, *self.clients):
                agent.start()
            self.wait_for_leader()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for agent in (*self.clients, *self.servers):
            agent.__exit__(kind, error, trace)

    def leader(self) -> ConsulAgent:
        return next(agent for agent in self.servers if agent.is_leader())

    def wait_for_leader(self, *among: ConsulAgent) -> None:
        """Until one of these agents (default: all) leads and the others know one."""
        agents = among or (*self.servers, *self.clients)
        deadline = time.monotonic() + START_SECONDS
        while not (any(agent.is_leader() for agent in agents) and all(agent.says_leader() for agent in agents)):
            if time.monotonic() > deadline:
                raise RuntimeError("the servers elected no leader")
            time.sleep(0.02)
