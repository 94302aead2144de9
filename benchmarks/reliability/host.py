"""A gateway as an operator keeps it: started, replaced, killed and started again, always at the same addresses."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from benchmarks.load.processes import free_ports
from benchmarks.rig.children import Restartable, Stuck, child, end, wait_until
from benchmarks.rig.shared import Shared
from gateway.control import WorkerState
from gateway.shm.layout import R_PID, R_STATE, row_word

START_SECONDS = 60.0
END_SECONDS = 60.0


class Host(Restartable):
    """One gateway at a time, but for the moments in which one takes over from another."""

    def __init__(
        self,
        command: str,
        folder: Path,
        config: str,
        workers: int,
        environment: Mapping[str, str],
        *,
        delay: float = 0.0,
    ) -> None:
        """`config` lacks [gateway] and [log]; `delay` is `shutdown_delay`."""
        self.port, self.admin_port = free_ports(2)
        self.workers = workers
        self.log = folder / "gateway.log"
        self.file = folder / "gateway.toml"
        self.access = str(folder / "access.log")
        self._config = config
        self._delay = delay
        self._environment = environment
        self._command = [command, "up", "-c", str(self.file), "--workers", str(workers)]
        self._folder = folder
        self._stack = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self.write()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The supervisor in charge."""
        assert self._process is not None, "it does not run"
        return self._process

    @property
    def pid(self) -> int:
        """The supervisor's."""
        return self.process.pid

    def write(self, extra: str = "", access: str | None = None) -> None:
        """The configuration file, with more at its end, or another access log."""
        self.file.write_text(
            f'[gateway]\nlisten = ["127.0.0.1:{self.port}"]\nadmin = "127.0.0.1:{self.admin_port}"\n'
            f"drain_timeout = 20.0\n{f'shutdown_delay = {self._delay}' if self._delay else ''}\n"
            f'[log]\naccess = "{access or self.access}"\n{self._config}\n{extra}'
        )

    def start(self) -> None:
        """Returns once /ready says 200."""
        self._process = self._launch(self._command)
        self._await_ready(self._process)

    def replace(self) -> None:
        """`gw up --replace` beside it; returns once the new one is ready and the old one has ended with 0."""
        old = self.process
        new = self._launch([*self._command, "--replace"])
        try:
            old.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            raise Stuck(f"the replaced gateway did not end; see {self.log}") from None
        if old.returncode:
            raise Stuck(f"the replaced gateway ended with {old.returncode}:\n{self.log.read_text()[-8000:]}")
        self._process = new
        self._await_ready(new)

    def kill(self) -> float:
        """SIGKILL to the supervisor alone; returns when."""
        at = time.monotonic()
        self.process.kill()
        self.process.wait()
        return at

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(END_SECONDS)

    def end(self) -> None:
        """However it is: gone afterwards."""
        if self._process is not None:
            end(self._process, signal.SIGTERM)
        self._stack.close()
        self._process = None

    def _launch(self, command: list[str]) -> subprocess.Popen[bytes]:
        context = child(command, log=self.log, folder=self._folder, environment=self._environment, stop=signal.SIGINT)
        return self._stack.enter_context(context)

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        def is_ready() -> bool:
            if process.poll() is not None:
                raise Stuck(f"the gateway ended with {process.returncode}:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.01)  # asking costs the supervisor as well
            with contextlib.suppress(OSError, http.client.HTTPException):
                return self.get("/ready") == 200
            return False

        wait_until(is_ready, START_SECONDS, f"the gateway ready; see {self.log}")

    def get(self, path: str) -> int:
        """The status of a path of the admin interface."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    # --- its workers -------------------------------------------------------------------------
    def shared(self) -> Shared:
        """The memory of the supervisor in charge."""
        return Shared(self.pid)

    def worker_pids(self) -> list[int]:
        """By number."""
        shared = self.shared()
        return [shared.word(row_word(row, R_PID)) for row in range(self.workers)]

    def await_worker(self, number: int, gone: int) -> None:
        """Until the worker's successor serves."""
        shared = self.shared()

        def serves() -> bool:
            pid, state = (shared.word(row_word(number, word)) for word in (R_PID, R_STATE))
            return pid not in (0, gone) and state == WorkerState.SERVING

        wait_until(serves, START_SECONDS, f"worker {number} again; see {self.log}")

    def await_generation(self, least: int) -> None:
        """Until every worker uses it, or a newer one."""
        shared = self.shared()
        wait_until(
            lambda: min(shared.generations()[: self.workers]) >= least, 30.0, f"generation {least}; see {self.log}"
        )


def environment(mark: str, value: str, base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """For every process of a run."""
    return {**base, mark: value}
