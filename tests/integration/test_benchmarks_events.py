"""The events benchmark itself: a short run with a real gateway and a real Consul, which leaves nothing behind."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.events.scenarios import Options, run
from benchmarks.rig import gateway
from tests.consul import consul_binary
from tests.gateways import is_running


def test_a_check_that_turns_critical_costs_no_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    consul_binary()
    monkeypatch.setattr("benchmarks.events.instance_events.REST", (0.3, 0.4))
    command = str(Path(sys.executable).with_name("gw"))
    options = Options(command, workers=2, rate=200.0, repetitions=1, outage=1.0, cycles=10, grace=5.0)
    pids: list[int] = []

    start = gateway.RunningGateway.start

    def noting(self: gateway.RunningGateway, timeout: float = 60.0) -> None:
        start(self, timeout)
        pids.append(self.pid)

    monkeypatch.setattr(gateway.RunningGateway, "start", noting)
    row = run("critical", options, tmp_path)
    assert row.idempotent == row.others == {}
    assert row.sent > 100
    assert len(row.times.out) == len(row.times.last) == len(row.times.into) == len(row.times.first) == 1
    assert 0 < row.times.out[0] < 5000
    assert row.times.last[0] < row.times.out[0] + 100
    assert 0 < row.times.into[0] <= row.times.first[0] + 50
    assert len(pids) == 1
    assert not is_running(pids[0])
