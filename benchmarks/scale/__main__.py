"""`python -m benchmarks.scale`: many services and instances, with a real Consul and a real gateway."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.load.__main__ import names, positive
from benchmarks.load.processes import raise_file_limit
from benchmarks.rig import consul
from benchmarks.rig.about import RAW, RESULTS, about, program
from benchmarks.rig.children import Stuck, end_by_signal
from benchmarks.rig.consul import ConsulRefused
from benchmarks.scale.page import page
from benchmarks.scale.run import OPTIONS, Figures, Plan, run

PAGE = RESULTS / "scale.md"


def options() -> argparse.ArgumentParser:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--only", help=f"some of {','.join(OPTIONS)}")
    parser.add_argument(
        "--gw", type=program, default=str(Path(sys.executable).with_name("gw")), help="the gateway's program"
    )
    parser.add_argument("--workers", type=positive, default=4)
    parser.add_argument("--services", type=positive, default=500)
    parser.add_argument("--each", type=positive, default=10, help="instances of a service: %(default)s")
    parser.add_argument("--changes", type=positive, default=100, help="instances that come and go: %(default)s")
    parser.add_argument("--rest", type=float, default=20.0, help="seconds at rest: %(default)g")
    parser.add_argument(
        "--connections", type=int, default=0, help="limits.http_max_conns_per_client of Consul; 0: its default, 200"
    )
    parser.add_argument("--page", action="store_true", help=f"also write benchmarks/results/{PAGE.name}")
    parser.add_argument("--keep", action="store_true", help="keep the folder with all logs")
    return parser


def play(given: argparse.Namespace, chosen: tuple[str, ...], folder: Path, runs: list[Figures]) -> list[str]:
    """Every run, into `runs` one by one; returns what failed."""
    plan = Plan(given.gw, given.workers, given.services, given.each, given.changes, given.rest, given.connections)
    failed = []
    for kind in chosen:
        place = folder / kind
        place.mkdir()
        try:
            runs.append(run(kind, plan, place))
        except (Stuck, ConsulRefused, OSError) as error:
            failed.append(kind)
            print(f"{kind}: {error}", flush=True)
    return failed


def main() -> int:
    """Exit code: 0; 1 when a run failed; 2 when an option is wrong."""
    parser = options()
    given = parser.parse_args()
    try:
        chosen = tuple(OPTIONS) if given.only is None else names(tuple(OPTIONS), given.only)
        consul.binary()
    except (ValueError, Stuck) as error:
        parser.error(str(error))
    raise_file_limit()
    end_by_signal()
    where, runs, folder = about(given.gw), list[Figures](), Path(tempfile.mkdtemp(prefix="gw-scale-"))
    try:
        failed = play(given, chosen, folder, runs)
    except KeyboardInterrupt:
        failed = ["the rest: interrupted"]
    finally:
        if given.keep:
            print(f"logs: {folder}")
        else:
            shutil.rmtree(folder)
    RAW.mkdir(parents=True, exist_ok=True)
    raw = RAW / f"scale-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    raw.write_text(json.dumps({"about": asdict(where), "runs": [asdict(each) for each in runs]}, indent=1))
    print(f"raw figures: {raw}")
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
