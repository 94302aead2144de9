"""`python -m benchmarks.reliability`: what is lost when processes die, stop, reload and roll."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path

from benchmarks.events.stage import ROOT
from benchmarks.load.__main__ import positive
from benchmarks.reliability.figures import Row
from benchmarks.reliability.page import HEADINGS, fill_in, remarks, table, words
from benchmarks.reliability.scenarios import NAMES, Options, run
from benchmarks.rig import command
from benchmarks.rig.about import about

PAGE = ROOT / "docs" / "reliability.md"


def options() -> argparse.ArgumentParser:
    """The command's options."""
    parser = command.parser("reliability", __doc__, NAMES, PAGE)
    parser.add_argument("--rate", type=positive, default=300, help="requests a second: %(default)s")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the usual repetitions: %(default)g")
    parser.add_argument("--minutes", type=float, default=10.0, help="of all at once: %(default)g")
    parser.add_argument("--seed", type=int, default=1, help="of the order of faults: %(default)s")
    return parser


def play(given: argparse.Namespace, chosen: tuple[str, ...], folder: Path, rows: list[Row]) -> list[str]:
    """Every scenario, into `rows` one by one; returns what failed."""
    asked = Options(given.gw, given.workers, given.rate, given.scale, given.minutes, given.seed)

    def show(row: Row, seconds: float) -> None:
        rows.append(row)
        command.tell(row.title, seconds, HEADINGS[1:], words(row)[1:], remarks([row]))

    return command.play(chosen, folder, lambda name, place: run(name, asked, place), show)


def main() -> int:
    """Exit code: 0; 1 when a scenario, or a request that need not have failed, did, or something was left behind."""
    parser = options()
    given = parser.parse_args()
    try:
        chosen = command.chosen(NAMES, given.only)
    except ValueError as error:
        parser.error(str(error))
    rows: list[Row] = []
    where = about(given.gw)
    with command.folder_of("reliability", keep=given.keep) as folder:
        try:
            failed = play(given, chosen, folder, rows)
        except KeyboardInterrupt:
            failed = ["the rest: interrupted"]
    epoch = time.time() - time.monotonic()  # of the times of failures, for the log's
    command.save_raw("reliability", {"about": asdict(where), "epoch": epoch, "rows": [asdict(row) for row in rows]})
    text = table(where, rows, workers=given.workers, rate=given.rate)
    if given.page:
        PAGE.write_text(fill_in(PAGE.read_text(), text))
        print(f"written: {PAGE}")
    else:
        print(text)
    for name in failed:
        print(f"failed: {name}", file=sys.stderr)
    return 1 if failed or any(row.failed or row.leaks for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
