"""`python -m benchmarks.events`: what each event costs the requests that pass. A real Consul, a real gateway."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.events.figures import Row, Times
from benchmarks.events.page import HEADINGS, fill_in, page, remarks, words
from benchmarks.events.scenarios import SCENARIOS, Options, run
from benchmarks.events.stage import LATENCY, ROOT
from benchmarks.load.__main__ import names, positive
from benchmarks.load.processes import raise_file_limit
from benchmarks.rig import consul
from benchmarks.rig.about import RAW, RESULTS, About, about, program
from benchmarks.rig.children import Stuck, end_by_signal
from benchmarks.rig.consul import ConsulRefused

PAGE = RESULTS / "events.md"
DOCUMENT = ROOT / "docs" / "discovery-and-health.md"


def options() -> argparse.ArgumentParser:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.events", description=__doc__)
    parser.add_argument("--only", help=f"some of {','.join(SCENARIOS)}")
    parser.add_argument(
        "--gw", type=program, default=str(Path(sys.executable).with_name("gw")), help="the gateway's program"
    )
    parser.add_argument("--workers", type=positive, default=4)
    parser.add_argument("--rate", type=positive, default=500, help="requests a second: %(default)s")
    parser.add_argument("--repetitions", type=positive, default=20, help="%(default)s; a quarter of it for slow events")
    parser.add_argument("--outage", type=float, default=60.0, help="seconds without Consul: %(default)g")
    parser.add_argument("--grace", type=float, default=30.0, help="removal_grace, seconds: %(default)g")
    parser.add_argument("--cycles", type=positive, default=1000, help="%(default)s")
    parser.add_argument("--page", action="store_true", help=f"also write benchmarks/results/{PAGE.name}")
    parser.add_argument("--keep", action="store_true", help="keep the folder with all logs")
    parser.add_argument("--render", type=Path, metavar="RAW.json", help="run nothing: show an earlier run")
    return parser


def load_raw(file: Path) -> tuple[About, list[Row], argparse.Namespace]:
    """What an earlier run wrote."""
    content = json.loads(file.read_text())
    rows = [Row(**{**each, "times": Times(**each["times"])}) for each in content["rows"]]
    where = About(**{**content["about"], "versions": tuple(content["about"]["versions"])})
    return where, rows, argparse.Namespace(**content["options"])


def save_raw(where: About, rows: list[Row], workers: int, rate: float) -> Path:
    """For `load_raw`, or anything else that reads JSON."""
    RAW.mkdir(parents=True, exist_ok=True)
    file = RAW / f"events-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    content = {"about": asdict(where), "options": {"workers": workers, "rate": rate}}
    file.write_text(json.dumps({**content, "rows": [asdict(row) for row in rows]}, indent=1))
    return file


def play(given: argparse.Namespace, chosen: tuple[str, ...], folder: Path, rows: list[Row]) -> list[str]:
    """Every scenario, into `rows` one by one, so that an interrupted run keeps what it has; returns what failed."""
    asked = Options(given.gw, given.workers, given.rate, given.repetitions, given.outage, given.cycles, given.grace)
    failed = []
    for name in chosen:
        place = folder / name
        place.mkdir()
        began = time.monotonic()
        try:
            row = run(name, asked, place)
        except (Stuck, ConsulRefused, OSError) as error:
            failed.append(name)
            print(f"{name}: {error}", flush=True)
            continue
        rows.append(row)
        cells = (f"{heading} {cell}" for heading, cell in zip(HEADINGS[1:], words(row)[1:], strict=True))
        print(f"{row.title} ({time.monotonic() - began:.0f} s): {'; '.join(cells)}", flush=True)
        for each in remarks([row]):
            print(f"    {each}", flush=True)
    return failed


def main() -> int:
    """Exit code: 0; 1 when a scenario failed or an idempotent request did; 2 when an option is wrong."""
    parser = options()
    given = parser.parse_args()
    rows: list[Row] = []
    failed: list[str] = []
    if given.render:
        where, rows, was = load_raw(given.render)
        workers, rate = was.workers, was.rate
    else:
        try:
            chosen = tuple(SCENARIOS) if given.only is None else names(tuple(SCENARIOS), given.only)
            consul.binary()
        except (ValueError, Stuck) as error:
            parser.error(str(error))
        raise_file_limit()
        end_by_signal()
        where, workers, rate = about(given.gw), given.workers, given.rate
        folder = Path(tempfile.mkdtemp(prefix="gw-events-"))
        try:
            failed = play(given, chosen, folder, rows)
        except KeyboardInterrupt:
            failed = ["the rest: interrupted"]
        finally:
            if given.keep:
                print(f"logs: {folder}")
            else:
                shutil.rmtree(folder)
        print(f"raw figures: {save_raw(where, rows, workers, rate)}")
    text = page(where, rows, workers=workers, rate=rate, latency=LATENCY)
    if given.page:
        PAGE.write_text(text)
        DOCUMENT.write_text(fill_in(DOCUMENT.read_text(), rows))
        print(f"written: {PAGE}, {DOCUMENT}")
    else:
        print(text)
    for name in failed:
        print(f"failed: {name}", file=sys.stderr)
    return 1 if failed or any(row.idempotent for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
