"""What a results page says about where and with what it was made, and how its tables are written."""

from __future__ import annotations

import math
import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.load.peers import gateway
from benchmarks.rig import consul

RESULTS = Path(__file__).parent.parent / "results"
RAW = RESULTS / "raw"


@dataclass(frozen=True, slots=True)
class About:
    """The head of a page."""

    date: str
    cpu: str
    kernel: str
    versions: tuple[str, ...]
    busy: float
    """Load average of the minute before: what else the machine did."""

    def lines(self) -> list[str]:
        """As a Markdown list."""
        return [
            f"- Date: {self.date}",
            f"- CPU: {self.cpu}",
            f"- Kernel: {self.kernel}",
            *(f"- {each}" for each in self.versions),
            f"- Load average before the run: {self.busy:.1f}",
        ]


def about(command: str) -> About:
    """This machine, this Consul, and the gateway that `command` runs."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return About(
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        cpu=f"{models[0] if models else platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        kernel=f"{platform.system()} {platform.release()}",
        versions=(gateway("gw", command).version(), consul.version()),
        busy=os.getloadavg()[0],
    )


def program(text: str) -> str:
    """The absolute path of a program: it is run in other folders. Raises ValueError when it cannot be run."""
    found = shutil.which(text)
    if found is None:
        raise ValueError(f"no program {text}")
    return str(Path(found).absolute())


def percentile(values: Sequence[float], percent: float) -> float:
    """The least value that `percent` of the values do not exceed (nearest rank); NaN of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else math.nan


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table, its first column words and the others figures."""
    lines = ["| " + " | ".join(headings) + " |", "| --- |" + " ---: |" * (len(headings) - 1)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]
