"""The system's clock is set while the gateway runs: shown times follow, and nothing is decided by it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from gateway.supervisor.wall import STEP, Wall

ROOT = Path(__file__).parents[2]
# Who may ask what time it is, and why no decision hangs on it.
MAY_ASK = {
    "discovery/consul_sd/source.py": "since when a source is fresh or stale, for people",
    "discovery/dns_sd/source.py": "the same",
    "discovery/static.py": "the same",
    "gateway/admin/handlers.py": "the status's uptime",
    "gateway/admin/page/routes.py": "what the page shows",
    "gateway/admin/server.py": "what metrics say of time",
    "gateway/supervisor/reload.py": "when a reload last succeeded, for people",
    "gateway/supervisor/sampler.py": "the page's charts",
    "gateway/supervisor/wall.py": "times for people",
    "gateway/supervisor/workers.py": "when a worker was started, for people",
    "gateway/worker/loop.py": "Date fields and the access log's stamps",
    "healthcheck/agent.py": "when health changed, for people",
}


class Clocks:
    """Both clocks, set by hand."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_000_000.0, 50.0

    def make(self) -> Wall:
        return Wall(wall=lambda: self.wall, steady=lambda: self.steady)


@pytest.mark.parametrize("step", [3600.0, -3600.0, STEP])
def test_a_step_moves_all_times_and_no_duration(step: float) -> None:
    clocks = Clocks()
    wall = clocks.make()
    since = clocks.steady
    clocks.steady += 10.0
    clocks.wall += 10.0 + step
    assert clocks.wall - (since + wall()) == 10.0
    assert since + wall() == 1_000_000.0 + step


def test_noise_moves_nothing() -> None:
    clocks = Clocks()
    wall = clocks.make()
    before = wall()
    clocks.wall += STEP / 2
    assert wall() == before


def test_nobody_decides_by_the_clock_on_the_wall() -> None:
    """time.time() is called, or passed on, only where this list says."""
    found = set()
    for package in ("gateway", "healthcheck", "discovery"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute) and ast.unparse(node) == "time.time":
                    found.add(str(path.relative_to(ROOT)))
    assert found <= MAY_ASK.keys(), f"time.time() in {found - MAY_ASK.keys()}: decisions go by time.monotonic()"
