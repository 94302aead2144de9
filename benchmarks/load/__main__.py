"""`python -m benchmarks.load`: gw beside nginx, HAProxy and Caddy, doing the same work in turns."""

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks.load import measure
from benchmarks.load.peers import Peer, PeerMissing, all_peers, require
from benchmarks.load.processes import cores, cpu_model, raise_file_limit
from benchmarks.load.report import Machine, rows
from benchmarks.load.run import Cell, Rest, Stall, run_cell
from benchmarks.load.tables import page, sheets, terminal
from benchmarks.load.upstream import upstreams
from benchmarks.load.workloads import BY_NAME, WORKLOADS, Workload

RESULTS = Path(__file__).parent.parent / "results"
PAGE = RESULTS / "README.md"
RAW = RESULTS / "raw"
GATEWAYS = "GW_BENCH_COMMAND"
"""Environment: what --gw takes, one a line."""
WIDTH = 150
"""Columns of the tables where the output is no terminal."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run."""

    peers: tuple[Peer, ...]
    workloads: tuple[Workload, ...]
    workers: tuple[int, ...]
    """Empty: as each workload says."""
    rounds: int
    seconds: int


def names(known: Sequence[str], text: str) -> tuple[str, ...]:
    """A comma-separated choice. Raises ValueError that lists what there is."""
    chosen = tuple(name for name in text.split(",") if name)
    unknown = [name for name in chosen if name not in known]
    if unknown or not chosen:
        raise ValueError(f"{', '.join(unknown) or 'nothing'} given; there are {', '.join(known)}")
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


def gateways(given: Sequence[str], environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Names and commands of the gateways asked for: NAME=COMMAND, or a COMMAND that is named by its place."""
    found = []
    for number, each in enumerate([*given, *environ.get(GATEWAYS, "").splitlines()], 2):
        name, separator, command = each.strip().partition("=")
        is_named = bool(separator) and "/" not in name and " " not in name
        found.append((name, command) if is_named else (f"gw-{number}", each.strip()))
    return found


def options() -> argparse.ArgumentParser:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument(
        "--workloads", help="; ".join(f"{each.name}: {each.title.replace('%', '%%')}" for each in WORKLOADS)
    )
    parser.add_argument("--peers", help="such as gw,nginx; all by default: gw, those of --gw, nginx, haproxy, caddy")
    parser.add_argument(
        "--gw",
        action="append",
        default=[],
        metavar="[NAME=]COMMAND",
        help=f"another gateway, by the command that runs it; may repeat. Also {GATEWAYS}, one a line",
    )
    parser.add_argument("--workers", type=counts, default=(), help="numbers of workers, such as 1,2, for all workloads")
    parser.add_argument("--rounds", type=positive, help="2; with --full 5")
    parser.add_argument("--duration", type=positive, help="seconds of load in each cell: 3; with --full 10")
    parser.add_argument("--full", action="store_true", help="the long run: more and longer rounds, every workload")
    parser.add_argument("--page", action="store_true", help=f"also write benchmarks/results/{PAGE.name}")
    parser.add_argument(
        "--render", type=Path, metavar="RAW.json", help="run nothing: show the figures of an earlier run"
    )
    return parser


def plan(given: argparse.Namespace, environ: Mapping[str, str]) -> Plan:
    """What the options ask for. Raises ValueError, with what there would have been."""
    peers = all_peers(gateways(given.gw, environ))
    usual = tuple(each.name for each in WORKLOADS if given.full or not each.is_long)
    chosen = usual if given.workloads is None else names(tuple(BY_NAME), given.workloads)
    chosen_peers = tuple(peers) if given.peers is None else names(tuple(peers), given.peers)
    return Plan(
        tuple(peers[name] for name in chosen_peers),
        tuple(BY_NAME[name] for name in chosen),
        given.workers,
        given.rounds or (5 if given.full else 2),
        given.duration or (10 if given.full else 3),
    )


def machine(asked: Plan) -> Machine:
    """What the page says about where it was made."""
    return Machine(
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        cpu=cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        kernel=f"{platform.system()} {platform.release()}",
        versions={peer.name: peer.version() for peer in asked.peers},
        rounds=asked.rounds,
        seconds=asked.seconds,
        busy=os.getloadavg()[0],
    )


def cells(asked: Plan, folder: Path, console: Console) -> Iterator[Cell]:
    """Every cell in the order it is run. A round is all workloads, so workloads that are compared with each other are
    minutes apart, not an hour; within a workload the peers take turns, and each round begins with another."""
    with upstreams(folder / "upstream", cores(1)[1], asked.workloads) as instances:
        for number in range(asked.rounds):
            shift = number % len(asked.peers)
            for workload in asked.workloads:
                for workers in asked.workers or workload.workers:
                    for peer in asked.peers[shift:] + asked.peers[:shift]:
                        place = folder / f"{workers}-{workload.name}-{number}-{peer.name}"
                        cell = run_cell(peer, workload, workers, number, asked.seconds, instances, place)
                        console.print(_line(cell), style="dim", markup=False, highlight=False, soft_wrap=True)
                        yield cell


def _line(cell: Cell) -> str:
    where = f"{cell.workload}, {cell.workers} workers, round {cell.round + 1}, {cell.peer}"
    if cell.problems:
        return f"{where}: void: {'; '.join(cell.problems)}"
    unit = BY_NAME[cell.workload].unit
    return f"{where}: {cell.cpu_us:.1f} us CPU a {unit}, {cell.per_second:,.0f}/s, {cell.cpu_share:.0%} of a core"


def load_raw(file: Path) -> tuple[Machine, list[Cell]]:
    """What an earlier run wrote."""
    content = json.loads(file.read_text())
    found = []
    for each in content["cells"]:
        kinds = {"load": measure.Load, "rest": Rest, "stall": Stall, "memory": measure.Memory}
        for name, kind in {**kinds, "start_memory": measure.Memory}.items():
            each[name] = kind(**each[name]) if each[name] else None
        each["problems"] = tuple(each["problems"])
        found.append(Cell(**each))
    return Machine(**content["machine"]), found


def save_raw(where: Machine, done: Sequence[Cell], file: Path) -> None:
    """For `load_raw`, or anything else that reads JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"machine": asdict(where), "cells": [asdict(cell) for cell in done]}, indent=1))


def main() -> int:
    """Exit code: 0; 1 when a row has no valid round; 2 when an option is wrong or something needed not installed."""
    parser = options()
    given = parser.parse_args()
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    if given.render:
        where, done = load_raw(given.render)
    else:
        try:
            asked = plan(given, os.environ)
            require(asked.peers)
        except ValueError as error:
            parser.error(str(error))
        except PeerMissing as error:
            console.print(str(error), highlight=False)
            return 2
        raise_file_limit()
        where, done = machine(asked), []
        with tempfile.TemporaryDirectory(prefix="gw-bench-") as folder, contextlib.suppress(KeyboardInterrupt):
            for cell in cells(asked, Path(folder), console):
                done.append(cell)  # one by one: an interrupted run keeps what it has
        raw = RAW / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
        save_raw(where, done, raw)
        console.print(f"raw figures: {raw}", highlight=False)
    for sheet in sheets(where, done):
        console.print()
        for each in terminal(sheet):
            console.print(each, markup=False, highlight=False)
    if given.page:
        PAGE.write_text(page(where, done))
        console.print(f"written: {PAGE}", highlight=False)
    return 0 if done and all(row.valid for row in rows(done)) else 1


if __name__ == "__main__":
    sys.exit(main())
