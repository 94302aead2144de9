"""`python -m benchmarks.load`: gw beside nginx, HAProxy and Caddy, doing the same work in turns."""

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks.load import measure
from benchmarks.load.peers import PEERS, PeerMissing, require
from benchmarks.load.report import Machine, page, rows, terminal
from benchmarks.load.run import Cell, cores, run_cell, upstreams
from benchmarks.load.workloads import BY_NAME, WORKLOADS

RESULTS = Path(__file__).parent.parent / "results"
PAGE = RESULTS / "README.md"
RAW = RESULTS / "raw"


def names(known: Sequence[str], text: str) -> tuple[str, ...]:
    """A comma-separated choice. Raises argparse.ArgumentTypeError that lists what there is."""
    chosen = tuple(name for name in text.split(",") if name)
    unknown = [name for name in chosen if name not in known]
    if unknown or not chosen:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown) or 'nothing'} given; there are {', '.join(known)}")
    return chosen


def counts(text: str) -> tuple[int, ...]:
    """Comma-separated numbers of at least 1."""
    if not all(part.isdigit() and int(part) > 0 for part in text.split(",")):
        raise argparse.ArgumentTypeError("numbers of at least 1, such as 1,2")
    return tuple(int(part) for part in text.split(","))


def positive(text: str) -> int:
    """One number of at least 1."""
    (number,) = counts(text) if "," not in text else (0,)
    if not number:
        raise argparse.ArgumentTypeError("one number of at least 1")
    return number


def machine(peers: Sequence[str], rounds: int, seconds: int) -> Machine:
    """What the page says about where it was made."""
    models = [line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return Machine(
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        cpu=models[0] if models else platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        kernel=f"{platform.system()} {platform.release()}",
        versions={name: PEERS[name].version() for name in peers},
        rounds=rounds,
        seconds=seconds,
    )


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def cells(given: argparse.Namespace, folder: Path, console: Console) -> Iterator[Cell]:
    """Every cell in the order it is run: the peers take turns, and each round begins with another."""
    with upstreams(folder / "upstream", cores(1)[1]) as ports:
        for workers in given.workers:
            for workload in given.workloads:
                for number in range(given.rounds):
                    shift = number % len(given.peers)
                    for name in given.peers[shift:] + given.peers[:shift]:
                        place = folder / f"{workers}-{workload}-{number}-{name}"
                        cell = run_cell(PEERS[name], BY_NAME[workload], workers, number, given.duration, ports, place)
                        console.print(_line(cell), style="dim", markup=False, highlight=False, soft_wrap=True)
                        yield cell


def _line(cell: Cell) -> str:
    where = f"{cell.workload}, {cell.workers} workers, round {cell.round + 1}, {cell.peer}"
    if cell.problems:
        return f"{where}: void: {'; '.join(cell.problems)}"
    speed = cell.load.per_second if cell.load else 0.0
    return f"{where}: {cell.cpu_us:.1f} us CPU a request, {speed:,.0f}/s, {cell.cpu_share:.0%} of a core"


def options() -> argparse.ArgumentParser:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument(
        "--workloads",
        type=lambda text: names(tuple(BY_NAME), text),
        default=tuple(BY_NAME),
        help="; ".join(f"{workload.name}: {workload.title}" for workload in WORKLOADS),
    )
    parser.add_argument(
        "--peers", type=lambda text: names(tuple(PEERS), text), default=tuple(PEERS), help=", ".join(PEERS)
    )
    parser.add_argument("--workers", type=counts, default=(1, 2), help="numbers of workers, such as 1,2")
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--duration", type=positive, default=5, help="seconds of load in each cell")
    parser.add_argument("--page", action="store_true", help=f"also write benchmarks/results/{PAGE.name}")
    parser.add_argument(
        "--render", type=Path, metavar="RAW.json", help="run nothing: show the figures of an earlier run"
    )
    return parser


def _load_raw(file: Path) -> tuple[Machine, list[Cell]]:
    content = json.loads(file.read_text())
    found = []
    for each in content["cells"]:
        each["load"] = measure.Load(**each["load"]) if each["load"] else None
        each["memory"] = measure.Memory(**each["memory"])
        each["problems"] = tuple(each["problems"])
        found.append(Cell(**each))
    return Machine(**content["machine"]), found


def main() -> int:
    """Exit code: 0; 1 when a row has no valid round; 2 when something needed is not installed."""
    given = options().parse_args()
    console = Console()
    if given.render:
        where, done = _load_raw(given.render)
    else:
        try:
            require(given.peers)
        except PeerMissing as error:
            console.print(str(error), highlight=False)
            return 2
        where = machine(given.peers, given.rounds, given.duration)
        done = []
        with tempfile.TemporaryDirectory(prefix="gw-bench-") as folder, contextlib.suppress(KeyboardInterrupt):
            for cell in cells(given, Path(folder), console):
                done.append(cell)  # one by one: an interrupted run keeps what it has
        RAW.mkdir(parents=True, exist_ok=True)
        raw = RAW / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
        raw.write_text(json.dumps({"machine": asdict(where), "cells": [asdict(cell) for cell in done]}, indent=1))
        console.print(f"raw figures: {raw}", highlight=False)
    figures = rows(done)
    for each in terminal(figures):
        console.print(each, markup=False, highlight=False)
    if given.page:
        PAGE.write_text(page(where, figures))
        console.print(f"written: {PAGE}", highlight=False)
    return 0 if figures and all(row.valid for row in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
