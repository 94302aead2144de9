"""A whole gateway for tests: a real `gw up` process on free ports of loopback.

    with start_gateway(tmp_path, config) as gateway:
        gateway.get("/users/1").status      # through the gateway
        gateway.status()["services"]        # from its admin interface
        gateway.signal(signal.SIGHUP)

All methods block, for some milliseconds: from trio tests call them as they are.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parent.parent
START_DEADLINE = 30.0  # seconds
READY = re.compile(r"gw \S+ ready: .* on http://(\S+:\d+).*, admin http://(\S+:\d+), ")


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, read to its end."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes


class RunningGateway:
    """One gateway process. Use `start_gateway`."""

    def __init__(
        self,
        folder: Path,
        config: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        launcher: Sequence[str] = (),
        pass_fds: Sequence[int] = (),
    ) -> None:
        """`launcher` is a command that is given the gateway's to run, `pass_fds` what it inherits."""
        self.config_path = folder / "gateway.toml"
        self.config_path.write_text(config)
        self.listen = self.admin = ""
        self.lines: list[str] = []  # of standard error
        self.access: list[str] = []  # lines of standard output
        self._said = threading.Condition()
        self._may_read = threading.Event()
        self._may_read.set()
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self.process = subprocess.Popen(
            [*launcher, sys.executable, "-P", "-m", "cli.app", "up", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, "XDG_STATE_HOME": str(folder / "state"), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
            pass_fds=pass_fds,
        )
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stderr, self.lines), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stdout, self.access), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, pipe: Any, lines: list[str]) -> None:
        with pipe:
            for line in pipe:
                self._may_read.wait()
                with self._said:
                    lines.append(line.rstrip("\n"))
                    self._said.notify_all()

    def __repr__(self) -> str:
        return f"<gateway pid {self.pid} on {self.listen}>"

    def __enter__(self) -> RunningGateway:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])

    def wait_ready(self) -> None:
        """Until it says that every worker accepts connections."""
        self.wait_until(self._find_ready, START_DEADLINE)

    def _find_ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the gateway ended with {self.process.returncode}:\n" + "\n".join(self.lines))
        for line in list(self.lines):
            found = READY.match(line)
            if found:
                self.listen, self.admin = found[1], found[2]
                return True
        return False

    def wait_until(self, claim: Callable[[], object], deadline: float = 15.0) -> None:
        """Return once `claim()` is true; AssertionError with the gateway's log after `deadline` seconds."""
        end = time.monotonic() + deadline
        while not claim():
            if time.monotonic() > end:
                raise AssertionError(f"not true within {deadline} s; the gateway said:\n" + "\n".join(self.lines))
            time.sleep(0.01)

    def wait_end(self, deadline: float = 20.0) -> int:
        """Its exit code, with all it said read."""
        code = self.process.wait(deadline)
        for reader in self._readers:
            reader.join(deadline)
        return code

    def events(self, event: str) -> list[dict[str, Any]]:
        """The lines of its log that tell of one kind of event."""
        entries = [json.loads(line) for line in list(self.lines) if line.startswith("{")]
        return [entry for entry in entries if entry["event"] == event]

    def stop_reading(self) -> None:
        """Read neither of its outputs any more: their pipes fill up."""
        self._may_read.clear()

    def go_on_reading(self) -> None:
        self._may_read.set()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def close(self) -> None:
        """End it at once, workers first, if it runs."""
        self.go_on_reading()
        for number in (signal.SIGTERM, signal.SIGINT):  # two different ones: equal pending signals are one
            self.process.send_signal(number)
        try:
            self.wait_end(10.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.wait_end()
        sys.stdout.write("\n".join(["the gateway said:", *self.lines, ""]))  # seen when the test fails

    def request(
        self, method: str, target: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request through the gateway, on a connection of its own."""
        return _ask(self.listen, method, target, body, headers or {})

    def get(self, target: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self.request("GET", target, headers=headers)

    def admin_get(self, path: str) -> Answer:
        return _ask(self.admin, "GET", path, b"", {})

    def admin_post(self, path: str, asked: Mapping[str, object] | None = None) -> Answer:
        body = json.dumps(asked or {}).encode()
        return _ask(self.admin, "POST", path, body, {"Content-Type": "application/json"})

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`gw` with these arguments, pointed at this gateway."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "cli.app", *arguments, "--admin", self.admin],
            cwd=self.config_path.parent,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def instance(self, address: str) -> dict[str, Any]:
        """What its status says of an instance of its first service."""
        instances: list[dict[str, Any]] = self.status()["services"][0]["instances"]
        return next(each for each in instances if each["address"] == address)

    def eligible(self) -> set[str]:
        """The addresses of the first service's instances that take traffic."""
        return {each["address"] for each in self.status()["services"][0]["instances"] if each["eligible"]}

    def status(self) -> dict[str, Any]:
        """What `gw status --json` prints."""
        found: dict[str, Any] = json.loads(self.admin_get("/api/status").body)
        return found

    def worker_pids(self) -> list[int]:
        return [worker["pid"] for worker in self.status()["workers"]]


def start_gateway(
    folder: Path,
    config: str = "",
    *,
    workers: int = 2,
    listen: Sequence[str] = ("127.0.0.1:0",),
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    launcher: Sequence[str] = (),
    pass_fds: Sequence[int] = (),
) -> RunningGateway:
    """A running gateway that accepts connections; `config` becomes gateway.toml in `folder`.

    Without `workers` and `listen` there are no such flags, as flags win over the file.
    """
    flags = ["--admin", "127.0.0.1:0", *(["--workers", str(workers)] if workers else [])]
    flags += [flag for address in listen for flag in ("--listen", address)]
    flags += arguments
    gateway = RunningGateway(folder, config, flags, environment or {}, launcher=launcher, pass_fds=pass_fds)
    try:
        gateway.wait_ready()
    except BaseException:
        gateway.close()
        raise
    return gateway


def replace_gateway(
    old: RunningGateway, config: str, *, workers: int = 2, arguments: Sequence[str] = ()
) -> RunningGateway:
    """A gateway that serves where another one does, having told it to drain; the other one is the caller's to await."""
    gateway = begin_to_replace(old, config, workers=workers, arguments=arguments)
    try:
        gateway.wait_ready()
    except BaseException:
        gateway.close()
        raise
    return gateway


def begin_to_replace(
    old: RunningGateway,
    config: str,
    *,
    workers: int = 2,
    arguments: Sequence[str] = (),
    flag: Sequence[str] = ("--replace",),
) -> RunningGateway:
    """The same, not waited for; `flag` makes it replace a gateway that runs."""
    folder = old.config_path.parent / f"after-{old.pid}"
    folder.mkdir()
    where = ["--listen", old.listen, "--admin", old.admin]
    return RunningGateway(folder, config, ["--workers", str(workers), *where, *flag, *arguments], {})


def _ask(address: str, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=15)
    try:
        connection.request(method, target, body or None, dict(headers))
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def is_running(pid: int) -> bool:
    """Is there such a process, not merely its corpse?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
