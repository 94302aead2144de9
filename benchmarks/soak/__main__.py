"""`python -m benchmarks.soak`: one gateway under a steady mix of clients for long, and whether it stays as it was.

Exit code: 0; 1 when it did not, or too little was measured to say; 2 when something needed is not installed; 130 when
it was interrupted, with what was recorded until then kept.
"""

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from benchmarks.load.peers import PeerMissing, gateway, require
from benchmarks.load.processes import cpu_model, raise_file_limit
from benchmarks.soak.page import About, duration, page
from benchmarks.soak.plot import svg
from benchmarks.soak.run import Plan, Record, run
from benchmarks.soak.sample import Process, Sample
from benchmarks.soak.tally import Seen
from benchmarks.soak.verdict import MIB, judge, warm_up

RESULTS = Path(__file__).parent.parent / "results"
RAW = RESULTS / "raw"
INTERRUPTED = 130


def options() -> argparse.ArgumentParser:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--gw", default=str(Path(sys.executable).with_name("gw")), help="the gw to run; beside Python")
    parser.add_argument("--seconds", type=_positive, default=3600.0, help="how long (3600)")
    parser.add_argument("--rate", type=_positive, default=200.0, help="requests a second (200)")
    parser.add_argument("--interval", type=_positive, default=10.0, help="seconds between samples (10)")
    parser.add_argument("--workers", type=int, choices=range(1, 65), default=2, metavar="N", help="(2)")
    parser.add_argument(
        "--growth", type=_positive, default=16.0, help="MiB of RSS an hour, all processes, that are allowed (16)"
    )
    parser.add_argument("--page", action="store_true", help="also write benchmarks/results/soak.md and soak.svg")
    parser.add_argument(
        "--render", type=Path, metavar="RAW.json", help="run nothing: judge and show the figures of an earlier run"
    )
    return parser


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("a number above 0")
    return number


def save_raw(about: About, record: Record, file: Path) -> None:
    """For `load_raw`, or anything else that reads JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {"about": asdict(about), "samples": [asdict(sample) for sample in record.samples]}
    file.write_text(json.dumps(content, indent=1))


def load_raw(file: Path) -> tuple[About, Record]:
    """What an earlier run wrote."""
    content = json.loads(file.read_text())
    about = About(**content["about"])
    samples = []
    for each in content["samples"]:
        held = tuple(Process(**process) for process in each.pop("processes"))
        samples.append(Sample(**{**each, "seen": Seen(**each["seen"]), "processes": held}))
    return about, Record(samples, about.reloads)


def _show(sample: Sample) -> None:
    seen = sample.seen
    failures = f", FAILED {seen.failures}" if seen.failures else ""
    print(
        f"{duration(sample.at)}: {seen.requests / sample.seconds:.0f}/s, {sample.cpu_us:.0f} us CPU, p50 "
        f"{seen.p50_us / 1000:.1f} p99 {seen.p99_us / 1000:.1f} p99.9 {seen.p999_us / 1000:.1f} ms, RSS "
        f"{sample.rss / MIB:.1f} PSS {sample.pss / MIB:.1f} MiB, {sample.descriptors} descriptors{failures}",
        flush=True,
    )


def _interrupt(number: int, frame: FrameType | None) -> None:
    """SIGTERM cleans up as Ctrl-C does, and SIGINT also where a shell that put this in the background ignores it."""
    raise KeyboardInterrupt


def _measured(given: argparse.Namespace) -> tuple[About, Record, int]:
    """A run, and 0, 1 or 130 by how it ended. Raises PeerMissing."""
    plan = Plan(gateway("gw", given.gw), given.workers, given.seconds, given.interval, given.rate)
    require([plan.peer], ("nginx", "taskset"))
    raise_file_limit()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    date, busy, version = f"{datetime.now(UTC):%Y-%m-%d %H:%M UTC}", os.getloadavg()[0], plan.peer.version()
    record, code = Record(), 0
    with tempfile.TemporaryDirectory(prefix="gw-soak-") as folder:
        try:
            run(plan, Path(folder), record, _show)
        except KeyboardInterrupt:
            code = INTERRUPTED
        except RuntimeError as error:
            print(error)
            code = 1
    about = About(
        date=date,
        version=version,
        cpu=cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        kernel=f"{platform.system()} {platform.release()}",
        busy=busy,
        workers=plan.workers,
        rate=plan.rate,
        interval=plan.interval,
        asked_seconds=plan.seconds,
        seconds=record.samples[-1].at if record.samples else 0.0,
        reloads=record.reloads,
    )
    return about, record, code


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: see above."""
    given = options().parse_args(arguments)
    code = 0
    if given.render:
        about, record = load_raw(given.render)
    else:
        try:
            about, record, code = _measured(given)
        except PeerMissing as error:
            print(error)
            return 2
        raw = RAW / f"soak-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
        save_raw(about, record, raw)
        print(f"raw figures: {raw}")
    if not record.samples:
        return code or 1
    verdict = judge(record.samples, about.reloads, given.growth)
    text = page(about, verdict, warm_up(record.samples), given.growth, "soak.svg")
    print(f"\n{text}")
    if given.page:
        (RESULTS / "soak.md").write_text(text)
        (RESULTS / "soak.svg").write_text(svg(record.samples))
        print(f"written: {RESULTS / 'soak.md'}, {RESULTS / 'soak.svg'}")
    for problem in verdict.problems:
        print(f"soak: {problem}", file=sys.stderr)
    return code or (1 if verdict.problems else 0)


if __name__ == "__main__":
    sys.exit(main())
