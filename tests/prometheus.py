"""A real Prometheus for tests: on a free port of loopback, with a folder of its own, no service of the machine's.

    scrape = {"job_name": "gw", "static_configs": [{"targets": [gateway.admin]}]}
    with PrometheusServer(tmp_path, [scrape], rules=[alerts]) as prometheus:
        prometheus.query("up")          # [({"job": "gw", ...}, 1.0)]

Without its binaries a test that needs them is skipped, or fails where CI is set.
"""

from __future__ import annotations

import functools
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import pytest
import yaml

from tests.consul import free_ports

GET_PROMETHEUS = Path(__file__).parent.parent / "scripts" / "get_prometheus.sh"
START_SECONDS = 30.0
POLL_SECONDS = 0.05

Sample = tuple[dict[str, str], float]


@functools.cache
def binaries() -> Path:
    """The folder of `prometheus` and `promtool`. Skips the test without one; fails it where CI is set."""
    found = subprocess.run([str(GET_PROMETHEUS)], capture_output=True, text=True, check=False)
    if found.returncode:
        sentence = f"no Prometheus to test with: {found.stderr.strip()}"
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    return Path(found.stdout.strip())


def promtool(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """`promtool` with these arguments, to its end."""
    return subprocess.run([str(binaries() / "promtool"), *arguments], input=stdin, capture_output=True, check=False)


class PrometheusServer:
    """One server that scrapes twice a second, by scrape configurations in Prometheus's spelling; a context manager."""

    def __init__(self, folder: Path, scrapes: Sequence[Mapping[str, object]], *, rules: Sequence[Path] = ()) -> None:
        self._folder = folder
        self._config = {
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
            "rule_files": [str(path) for path in rules],
            "scrape_configs": [dict(each) for each in scrapes],
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._http = httpx.Client(trust_env=False, timeout=10.0)
        self.address = ""

    def __enter__(self) -> Self:
        folder = self._folder / "prometheus"
        folder.mkdir()
        config = folder / "prometheus.yml"
        config.write_text(yaml.safe_dump(self._config))
        self.address = f"127.0.0.1:{free_ports(1)[0]}"
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    str(binaries() / "prometheus"),
                    f"--config.file={config}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    f"--web.listen-address={self.address}",
                ],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self.wait_until(self._is_ready, START_SECONDS)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=10)
        self._http.close()

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "prometheus" / "log").read_text()
        try:
            return self._http.get(f"http://{self.address}/-/ready").status_code == 200
        except httpx.HTTPError:
            return False

    def wait_until(self, claim: Callable[[], object], deadline: float = 15.0) -> None:
        """Returns once the claim holds; AssertionError with the server's log after `deadline` seconds."""
        end = time.monotonic() + deadline
        while not claim():
            if time.monotonic() > end:
                log = (self._folder / "prometheus" / "log").read_text()
                raise AssertionError(f"not true within {deadline} s; Prometheus said:\n{log}")
            time.sleep(POLL_SECONDS)

    def api(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its HTTP API; AssertionError with its words where it refuses."""
        answer = self._http.get(f"http://{self.address}/api/v1/{path}", params=parameters).json()
        assert answer["status"] == "success", f"{parameters}: {answer.get('error')}"
        return answer["data"]

    def query(self, expression: str) -> list[Sample]:
        """An instant query that gives a vector (or a scalar, without labels): labels and value of each sample."""
        data = self.api("query", query=expression)
        if data["resultType"] == "scalar":
            return [({}, float(data["result"][1]))]
        return [(each["metric"], float(each["value"][1])) for each in data["result"]]
