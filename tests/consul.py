"""A real Consul for tests: one agent in dev mode on loopback, on free ports, all in memory.

    with ConsulServer() as consul:
        consul.register("web", 9001, tags=["gw.path=/web/*"])
        ... consul.address ...

A dev agent keeps nothing on disk, so `restart` and `kill` + `start` bring it back empty, on the
same address. Without a Consul binary a test that needs one is skipped, or fails where CI is set.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import pytest

GET_CONSUL = Path(__file__).parent.parent / "scripts" / "get_consul.sh"
START_SECONDS = 20.0
POLL_SECONDS = 0.02


@functools.cache
def consul_binary() -> str:
    """The path of a Consul binary. Skips the test without one; fails it where CI is set."""
    found = subprocess.run([str(GET_CONSUL)], capture_output=True, text=True, check=False)
    if found.returncode:
        sentence = f"no Consul to test with: {found.stderr.strip()}"
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    return found.stdout.strip()


@functools.cache
def _version() -> tuple[int, ...]:
    text = subprocess.run([consul_binary(), "version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"v(\d+)\.(\d+)", text)
    assert match, text
    return tuple(int(part) for part in match.groups())


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class ConsulServer:
    """One dev agent; a context manager. `config` is HCL added to its configuration.

    `token` is sent with this object's own requests, for agents whose `config` asks for one. `wan` makes it a server
    that others can join over WAN, or joins it to one.
    """

    def __init__(
        self, config: str = "", *, token: str = "", datacenter: str = "dc1", wan: bool | ConsulServer = False
    ) -> None:
        self._config = config
        self._datacenter = datacenter
        self._wan = wan
        self._token = token
        self._process: subprocess.Popen[bytes] | None = None
        self._http = httpx.Client(trust_env=False, timeout=10.0)
        self._choose_ports()

    def _choose_ports(self) -> None:
        self._ports = free_ports(5)
        self.address = f"http://127.0.0.1:{self._ports[0]}"
        self.dns_address = f"127.0.0.1:{self._ports[4]}"

    def __enter__(self) -> Self:
        try:
            self.start()
        except RuntimeError:  # another process took a port between its choice and its use: once more
            self._choose_ports()
            self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._http.close()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def wan_port(self) -> int:
        return self._ports[3]

    def start(self) -> None:
        """Starts the agent, empty, at `address`; returns once it has a leader and knows its own node."""
        assert self._process is None, "it is running"
        command = self._command()
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.wait_until(self._is_up_or_ended)
        except TimeoutError:
            self.kill()
            raise RuntimeError(f"Consul at {self.address} was not ready within {START_SECONDS} s") from None
        if self._process.poll() is not None:
            self._process = None
            raise RuntimeError(f"Consul ended at once: {' '.join(command)}")

    def wait_until(self, claim: Callable[[], bool], deadline: float = START_SECONDS) -> None:
        """Returns once the claim holds; TimeoutError after `deadline` seconds."""
        end = time.monotonic() + deadline
        while not claim():
            if time.monotonic() > end:
                raise TimeoutError(f"not true of Consul at {self.address} within {deadline} s")
            time.sleep(POLL_SECONDS)

    def _is_up_or_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None or self._is_up()

    def _command(self) -> list[str]:
        command = [*self._agent("-dev", "-node=test"), f"-datacenter={self._datacenter}"]
        if isinstance(self._wan, ConsulServer):
            command += [f"-retry-join-wan=127.0.0.1:{self._wan.wan_port}", "-retry-interval-wan=1s"]
        return [*command, *(["-hcl", self._config] if self._config else [])]

    def _agent(self, *options: str) -> list[str]:
        """An agent on the ports of this object."""
        http, server, serf, wan, dns = self._ports
        tls = "grpc_tls = -1" if _version() >= (1, 14) else ""
        serfs = f"serf_lan = {serf} serf_wan = {wan if self._wan else -1}"
        ports = f"http = {http} server = {server} {serfs} dns = {dns} grpc = -1 {tls}"
        command = [consul_binary(), "agent", *options, "-bind=127.0.0.1", "-client=127.0.0.1"]
        return [*command, "-log-level=err", "-hcl", f"ports {{ {ports} }}", "-hcl", "disable_update_check = true"]

    def _is_up(self) -> bool:
        try:
            answer = self._request("GET", "/v1/health/node/test")
        except httpx.HTTPError:
            return False
        return answer.status_code == 200 and bool(answer.json())

    def stop(self) -> None:
        """Ends the agent in good order (SIGTERM)."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=10)
            self._process = None

    def kill(self) -> None:
        """Ends the agent at once (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=10)
            self._process = None

    def restart(self) -> None:
        """Kills the agent and starts it again: same address, nothing registered."""
        self.kill()
        self.start()

    def _request(self, method: str, path: str, body: object = None) -> httpx.Response:
        return self._request_raw(method, path, "" if body is None else json.dumps(body))

    def _request_raw(self, method: str, path: str, content: str) -> httpx.Response:
        headers = {"X-Consul-Token": self._token} if self._token else {}
        return self._http.request(method, self.address + path, content=content, headers=headers)

    def get(self, path: str) -> Any:
        """The JSON at an API path, e.g. `/v1/catalog/services`."""
        return self._request("GET", path).raise_for_status().json()

    def put(self, path: str, body: object = None) -> None:
        """A PUT to an API path; raises httpx.HTTPStatusError unless it succeeds."""
        self._request("PUT", path, body).raise_for_status()

    def register(
        self,
        name: str,
        port: int,
        *,
        id: str = "",  # noqa: A002 - Consul's own word
        address: str = "127.0.0.1",
        tags: Sequence[str] = (),
        weight: int = 1,
        warning_weight: int = 1,
        check: Mapping[str, object] | None = None,
    ) -> str:
        """Registers an instance and returns its id (default: name-port). `check` is in Consul's spelling."""
        service_id = id or f"{name}-{port}"
        body: dict[str, object] = {
            "ID": service_id,
            "Name": name,
            "Address": address,
            "Port": port,
            "Tags": list(tags),
            "Weights": {"Passing": weight, "Warning": warning_weight},
        }
        if check is not None:
            body["Check"] = dict(check)
        self.put("/v1/agent/service/register?replace-existing-checks=true", body)
        return service_id

    def register_ttl(self, name: str, port: int, *, id: str = "", tags: Sequence[str] = (), weight: int = 1) -> str:  # noqa: A002
        """Registers an instance with a passing TTL check, for `set_check`."""
        check = {"TTL": "1h", "Status": "passing"}
        return self.register(name, port, id=id, tags=tags, weight=weight, check=check)

    def set_check(self, service_id: str, status: str, output: str = "") -> None:
        """Sets the TTL check of an instance to passing, warning or critical."""
        self.put(f"/v1/agent/check/update/service:{service_id}", {"Status": status, "Output": output})

    def put_key(self, key: str, value: str) -> None:
        """Writes a key of the KV store."""
        self._request_raw("PUT", f"/v1/kv/{key}", value).raise_for_status()

    def delete_key(self, key: str) -> None:
        self._request("DELETE", f"/v1/kv/{key}").raise_for_status()

    def new_token(self, rules: str) -> str:
        """A token with a policy of these rules, for agents with ACLs."""
        name = f"policy-{hashlib.sha256(rules.encode()).hexdigest()[:12]}"
        policies = {each["Name"] for each in self.get("/v1/acl/policies")}
        if name not in policies:
            self.put("/v1/acl/policy", {"Name": name, "Rules": rules})
        return self.new_token_with(name)

    def new_token_with(self, policy: str) -> str:
        """A token with a policy that exists."""
        answer = self._request("PUT", "/v1/acl/token", {"Policies": [{"Name": policy}]}).raise_for_status()
        return str(answer.json()["SecretID"])

    def deregister(self, service_id: str) -> None:
        self.put(f"/v1/agent/service/deregister/{service_id}")

    def maintain(self, service_id: str, *, enable: bool = True, reason: str = "") -> None:
        """Puts an instance into maintenance, or takes it out."""
        self.put(f"/v1/agent/service/maintenance/{service_id}?enable={str(enable).lower()}&reason={reason}")

    def maintain_node(self, *, enable: bool = True, reason: str = "") -> None:
        """Puts the whole node into maintenance, or takes it out."""
        self.put(f"/v1/agent/maintenance?enable={str(enable).lower()}&reason={reason}")
