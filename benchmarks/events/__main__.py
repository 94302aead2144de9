"""`python -m benchmarks.events`: what each event costs the requests that pass. A real Consul, a real gateway."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.events.client import REFUSED
from benchmarks.events.figures import Row, Times
from benchmarks.events.page import HEADINGS, fill_in, page, remarks, words
from benchmarks.events.scenarios import SCENARIOS, Options, run
from benchmarks.events.stage import LATENCY, ROOT
from benchmarks.load.__main__ import positive
from benchmarks.rig import command, consul
from benchmarks.rig.about import RESULTS, About, about
from benchmarks.rig.children import Stuck

PAGE = RESULTS / "events.md"
DOCUMENT = ROOT / "docs" / "discovery-and-health.md"


def options() -> argparse.ArgumentParser:
    """The command's options."""
    parser = command.parser("events", __doc__, tuple(SCENARIOS), PAGE)
    parser.add_argument("--rate", type=positive, default=500, help="requests a second: %(default)s")
    parser.add_argument("--repetitions", type=positive, default=20, help="%(default)s; a quarter of it for slow events")
    parser.add_argument("--outage", type=float, default=60.0, help="seconds without Consul: %(default)g")
    parser.add_argument("--grace", type=float, default=30.0, help="removal_grace, seconds: %(default)g")
    parser.add_argument("--cycles", type=positive, default=1000, help="%(default)s")
    parser.add_argument("--render", type=Path, metavar="RAW.json", help="run nothing: show an earlier run")
    return parser


def load_raw(file: Path) -> tuple[About, list[Row], argparse.Namespace]:
    """What an earlier run wrote."""
    content = json.loads(file.read_text())
    rows = [Row(**{**each, "times": Times(**each["times"])}) for each in content["rows"]]
    where = About(**{**content["about"], "versions": tuple(content["about"]["versions"])})
    return where, rows, argparse.Namespace(**content["options"])


def save_raw(where: About, rows: list[Row], workers: int, rate: float) -> Path:
    """For `load_raw`."""
    asked = {"workers": workers, "rate": rate}
    return command.save_raw("events", {"about": asdict(where), "options": asked, "rows": [asdict(row) for row in rows]})


def play(given: argparse.Namespace, chosen: tuple[str, ...], folder: Path, rows: list[Row]) -> list[str]:
    """Every scenario, into `rows` one by one, so that an interrupted run keeps what it has; returns what failed."""
    asked = Options(given.gw, given.workers, given.rate, given.repetitions, given.outage, given.cycles, given.grace)

    def show(row: Row, seconds: float) -> None:
        rows.append(row)
        command.tell(row.title, seconds, HEADINGS[1:], words(row)[1:], remarks([row]))

    return command.play(chosen, folder, lambda name, place: run(name, asked, place), show)


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
            chosen = command.chosen(tuple(SCENARIOS), given.only)
            consul.binary()
        except (ValueError, Stuck) as error:
            parser.error(str(error))
        where, workers, rate = about(given.gw), given.workers, given.rate
        with command.folder_of("events", keep=given.keep) as folder:
            try:
                failed = play(given, chosen, folder, rows)
            except KeyboardInterrupt:
                failed = ["the rest: interrupted"]
        save_raw(where, rows, workers, rate)
    text = page(where, rows, workers=workers, rate=rate, latency=LATENCY)
    if given.page:
        PAGE.write_text(text)
        DOCUMENT.write_text(fill_in(DOCUMENT.read_text(), rows))
        print(f"written: {PAGE}, {DOCUMENT}")
    else:
        print(text)
    for name in failed:
        print(f"failed: {name}", file=sys.stderr)
    return 1 if failed or any(map(failed_idempotent, rows)) else 0


def failed_idempotent(row: Row) -> bool:
    """Did requests that need not have failed? Not those refused in a scenario in which nobody listens for a while."""
    expected = {REFUSED} if SCENARIOS[row.name].refuses else set()
    return bool(row.idempotent.keys() - expected)


if __name__ == "__main__":
    sys.exit(main())
