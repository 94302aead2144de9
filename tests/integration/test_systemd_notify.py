"""What a real `gw up` tells systemd over its notify socket."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.gateways import ROOT, start_gateway
from tests.systemd import NotifySocket

UNITS = ROOT / "examples" / "systemd"


def test_ready_reloading_and_stopping_are_told_in_their_order(tmp_path: Path) -> None:
    with NotifySocket(tmp_path) as told, start_gateway(tmp_path, environment=told.environment) as gateway:
        ready = told.next()
        assert ready["READY"] == "1"
        assert ready["STATUS"] == f"2 workers on {gateway.listen}, ready"
        before = time.monotonic_ns() // 1000
        gateway.signal(signal.SIGHUP)
        reloading = told.next()
        assert reloading["RELOADING"] == "1"
        assert before <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
        assert told.next() == ready
        gateway.config_path.write_text("[limits]\nheaders = 0\n")
        gateway.signal(signal.SIGHUP)
        assert told.next()["RELOADING"] == "1"
        refused = told.next()
        assert refused["READY"] == "1"  # the reload is over, for systemd that is all
        assert re.match(r"not reloaded: gateway\.toml.*limits\.headers", refused["STATUS"])
        gateway.signal(signal.SIGTERM)
        stopping = told.wait_for("STOPPING")
        assert stopping == {"STOPPING": "1", "EXTEND_TIMEOUT_USEC": "35000000", "STATUS": "draining"}
        assert gateway.wait_end() == 0


def test_the_watchdog_hears_of_the_supervisor_while_it_turns_and_no_longer(tmp_path: Path) -> None:
    with (
        NotifySocket(None) as told,  # abstract
        start_gateway(tmp_path, environment=told.environment | {"WATCHDOG_USEC": "1000000"}) as gateway,
    ):
        told.wait_for("READY")
        began = time.monotonic()
        for _ in range(4):
            told.wait_for("WATCHDOG")
        assert time.monotonic() - began < 4.0
        gateway.signal(signal.SIGSTOP)
        try:
            assert told.is_silent(1.2)
        finally:
            gateway.signal(signal.SIGCONT)
        told.wait_for("WATCHDOG")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_the_example_units_are_what_systemd_understands(tmp_path: Path) -> None:
    version = re.search(r"\d+", subprocess.check_output(["systemd-analyze", "--version"], text=True))
    assert version is not None
    for name in ("gw.service", "gw.socket"):
        text = (UNITS / name).read_text().replace("/opt/gw/bin/gw", sys.executable)
        if int(version[0]) < 253:
            text = text.replace("Type=notify-reload", "Type=notify")
        (tmp_path / name).write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", *map(str, tmp_path.glob("gw.*"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
