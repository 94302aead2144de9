"""The access log of a real gateway is rotated by a signal, in the form that was asked for."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends import Backend, start_backend
from tests.gateway_config import one_service
from tests.gateways import start_gateway

COMBINED = re.compile(r'127\.0\.0\.1 - - \[[^]]+\] "GET /b\?c=1 HTTP/1\.1" 200 \d+ "-" "a browser"')


@pytest.fixture
def backend() -> Iterator[Backend]:
    with start_backend("one") as started:
        yield started


def configure(backend: Backend, log: Path, form: str) -> str:
    return one_service(backend.url).replace('access = "off"', f'access = "{log}"\n{form}')


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGHUP])
def test_a_renamed_log_is_left_after_the_signal(tmp_path: Path, backend: Backend, number: signal.Signals) -> None:
    log, old = tmp_path / "access.log", tmp_path / "access.log.1"
    form = 'access_fields = ["request_id", "path", "status"]'
    with start_gateway(tmp_path, configure(backend, log, form)) as gateway:
        gateway.wait_until(lambda: gateway.get("/a?secret=1").status == 200)
        gateway.wait_until(lambda: lines(log))
        assert {tuple(json.loads(line)) for line in lines(log)} == {("request_id", "path", "status")}
        assert json.loads(lines(log)[-1])["path"] == "/a"
        log.rename(old)
        gateway.signal(number)
        gateway.wait_until(lambda: gateway.get("/b").status == 200 and lines(log))
        gateway.wait_until(lambda: json.loads(lines(log)[-1])["path"] == "/b")


def test_a_reload_changes_the_form_of_the_lines(tmp_path: Path, backend: Backend) -> None:
    log = tmp_path / "access.log"
    with start_gateway(tmp_path, configure(backend, log, "")) as gateway:
        gateway.config_path.write_text(configure(backend, log, 'access_format = "combined"'))
        gateway.signal(signal.SIGHUP)
        asks = {"User-Agent": "a browser"}
        gateway.wait_until(
            lambda: gateway.get("/b?c=1", asks).status == 200 and any(map(COMBINED.fullmatch, lines(log)))
        )
