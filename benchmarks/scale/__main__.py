"""`python -m benchmarks.scale`: many services and instances, with a real Consul and a real gateway."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.load.__main__ import positive
from benchmarks.rig import command, consul
from benchmarks.rig.about import RESULTS, about
from benchmarks.rig.children import Stuck
from benchmarks.scale.page import page
from benchmarks.scale.run import OPTIONS, Figures, Plan, run

PAGE = RESULTS / "scale.md"


def options() -> argparse.ArgumentParser:
    """The command's options."""
    parser = command.parser("scale", __doc__, tuple(OPTIONS), PAGE)
    parser.add_argument("--services", type=positive, default=500)
    parser.add_argument("--each", type=positive, default=10, help="instances of a service: %(default)s")
    parser.add_argument("--changes", type=positive, default=100, help="instances that come and go: %(default)s")
    parser.add_argument("--rest", type=float, default=20.0, help="seconds at rest: %(default)g")
    parser.add_argument(
        "--connections", type=int, default=0, help="limits.http_max_conns_per_client of Consul; 0: its default, 200"
    )
    return parser


def play(given: argparse.Namespace, chosen: tuple[str, ...], folder: Path, runs: list[Figures]) -> list[str]:
    """Every run, into `runs` one by one; returns what failed."""
    plan = Plan(given.gw, given.workers, given.services, given.each, given.changes, given.rest, given.connections)
    return command.play(
        chosen, folder, lambda kind, place: run(kind, plan, place), lambda figures, seconds: runs.append(figures)
    )


def main() -> int:
    """Exit code: 0; 1 when a run failed; 2 when an option is wrong."""
    parser = options()
    given = parser.parse_args()
    try:
        chosen = command.chosen(tuple(OPTIONS), given.only)
        consul.binary()
    except (ValueError, Stuck) as error:
        parser.error(str(error))
    where, runs = about(given.gw), list[Figures]()
    with command.folder_of("scale", keep=given.keep) as folder:
        try:
            failed = play(given, chosen, folder, runs)
        except KeyboardInterrupt:
            failed = ["the rest: interrupted"]
    command.save_raw("scale", {"about": asdict(where), "runs": [asdict(each) for each in runs]})
    if runs:
        text = page(where, runs, given.workers, given.connections)
        print(text)
        if given.page:
            PAGE.write_text(text)
            print(f"written: {PAGE}")
    for kind in failed:
        print(f"failed: {kind}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
