"""From cells to figures: medians, ratios within a round, the terminal's table and the page. Pure, but for rich."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table

from benchmarks.load.run import Cell
from benchmarks.load.workloads import BY_NAME

REFERENCE = "nginx"
"""The peer that the others are compared with."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and with what the figures were made."""

    date: str
    cpu: str
    cores: int
    kernel: str
    versions: dict[str, str]
    rounds: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Row:
    """One peer under one workload: medians over its valid rounds; every figure 0 when there is none."""

    workload: str
    workers: int
    peer: str
    valid: int
    rounds: int
    cpu_us: float
    ratio: float | None
    """Median over rounds of this peer's CPU per request by the reference's in the same round."""
    per_second: float
    p50_us: float
    p99_us: float
    p999_us: float
    pss: int
    problems: tuple[str, ...]


def rows(cells: Iterable[Cell]) -> list[Row]:
    """One row per workload, number of workers and peer, in the order in which they were first run."""
    groups: dict[tuple[str, int, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.workload, cell.workers, cell.peer), []).append(cell)
    reference = {
        (workload, workers, cell.round): cell
        for (workload, workers, peer), members in groups.items()
        if peer == REFERENCE
        for cell in members
        if not cell.problems
    }
    peers = list(dict.fromkeys(peer for _, _, peer in groups))
    ordered = sorted(groups, key=lambda key: peers.index(key[2]))
    tables = list(dict.fromkeys(key[:2] for key in groups))
    return [_row(key, groups[key], reference) for table in tables for key in ordered if key[:2] == table]


def _row(key: tuple[str, int, str], cells: Sequence[Cell], reference: dict[tuple[str, int, int], Cell]) -> Row:
    workload, workers, peer = key
    valid = [cell for cell in cells if not cell.problems]
    loads = [cell.load for cell in valid if cell.load is not None]
    ratios = [
        cell.cpu_us / beside.cpu_us
        for cell in valid
        if (beside := reference.get((workload, workers, cell.round))) is not None and beside.cpu_us > 0
    ]

    def middle(values: Iterable[float]) -> float:
        found = list(values)
        return statistics.median(found) if found else 0.0

    return Row(
        workload,
        workers,
        peer,
        valid=len(valid),
        rounds=len(cells),
        cpu_us=middle(cell.cpu_us for cell in valid),
        ratio=statistics.median(ratios) if ratios else None,
        per_second=middle(load.per_second for load in loads),
        p50_us=middle(load.p50_us for load in loads),
        p99_us=middle(load.p99_us for load in loads),
        p999_us=middle(load.p999_us for load in loads),
        pss=int(middle(cell.memory.pss for cell in valid)),
        problems=tuple(dict.fromkeys(problem for cell in cells for problem in cell.problems)),
    )


COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("peer", lambda row: row.peer),
    ("CPU µs", lambda row: f"{row.cpu_us:.1f}"),
    (f"vs {REFERENCE}", lambda row: "-" if row.ratio is None else f"{row.ratio:.2f}"),
    ("req/s", lambda row: f"{row.per_second:,.0f}"),
    ("p50 ms", lambda row: f"{row.p50_us / 1000:.2f}"),
    ("p99 ms", lambda row: f"{row.p99_us / 1000:.2f}"),
    ("p99.9", lambda row: f"{row.p999_us / 1000:.2f}"),
    ("MiB", lambda row: f"{row.pss / 2**20:.1f}"),
    ("rounds", lambda row: f"{row.valid}/{row.rounds}"),
)


def cells_of(row: Row) -> list[str]:
    """A row's words. A row without a valid round shows no figure at all."""
    if row.valid:
        return [show(row) for _, show in COLUMNS]
    return [row.peer, *["void"] * (len(COLUMNS) - 2), f"0/{row.rounds}"]


def _title(workload: str, workers: int) -> str:
    return f"{BY_NAME[workload].title}; {workers} {'worker' if workers == 1 else 'workers'}"


def _by_table(all_rows: Sequence[Row]) -> dict[tuple[str, int], list[Row]]:
    tables: dict[tuple[str, int], list[Row]] = {}
    for row in all_rows:
        tables.setdefault((row.workload, row.workers), []).append(row)
    return tables


def terminal(all_rows: Sequence[Row]) -> list[Table | str]:
    """One table per workload, and the reasons of every void round under it."""
    shown: list[Table | str] = []
    for (workload, workers), members in _by_table(all_rows).items():
        table = Table(
            title=_title(workload, workers),
            title_justify="left",
            box=box.SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, 1, 0, 0),
        )
        for heading, _ in COLUMNS:
            table.add_column(heading, justify="left" if heading == "peer" else "right", no_wrap=True)
        for row in members:
            table.add_row(*cells_of(row))
        shown.append(table)
        shown += [f"{row.peer}, void: {problem}" for row in members for problem in row.problems]
    return shown


METHOD = f"""\
Every peer does the same work: least connections over three instances with kept-alive connections to them,
`X-Forwarded-For`, `-Proto`, `-Host` and a fresh `X-Request-ID` on the forwarded request, `X-Request-ID` and `X-Gateway`
on the response, one access log line per request in a file, streamed bodies, counters or metrics on, active health
checks where the peer has them (nginx has none). gw also adds `traceparent`. The configurations are in
[`benchmarks/load/peers.py`](../load/peers.py).

- The proxy is pinned to the first core (with more than two cores: to as many as it has workers, one being left); the
  load generator (wrk) and the instances (one nginx) share the rest. All traffic is on loopback.
- Each cell starts the peer fresh, checks its work on sample requests, warms it up for a second, measures, and ends it.
  The peers take turns within each round, in an order that rotates from round to round.
- CPU is user plus system time of the peer's whole process tree, divided by the requests that wrk saw answered,
  in microseconds.
  "vs {REFERENCE}" is the median over rounds of the ratio within the same round. MiB is the tree's proportional set
  size at the end of the load. Everything else is the median over the valid rounds.
- A round is void, and counts for nothing, unless the sample's body, headers, ids and spread over the instances are
  right, no response is outside 2xx, no socket fails, and the access log has a line per request (within 1 %).
- With the proxy at 100 % of its core, latency is mostly time in the queue: it follows from requests/s. The row with
  one connection shows the latency of the proxy itself.

Run it with `make bench`; `make bench ARGS="--help"` lists its options."""


def page(machine: Machine, all_rows: Sequence[Row]) -> str:
    """The Markdown page: when, where and how first, then the figures."""
    lines = [
        "# gw compared with nginx, HAProxy and Caddy",
        "",
        "Generated by `python -m benchmarks.load --page`; do not edit.",
        "",
        f"- Date: {machine.date}",
        f"- CPU: {machine.cpu}, {machine.cores} cores",
        f"- Kernel: {machine.kernel}",
        f"- Versions: {'; '.join(machine.versions.values())}",
        f"- {machine.rounds} rounds of {machine.seconds} s for each cell",
        "",
        "## Method",
        "",
        METHOD,
        "",
        "## Figures",
    ]
    for (workload, workers), members in _by_table(all_rows).items():
        lines += ["", f"### {_title(workload, workers)}", ""]
        lines.append("| " + " | ".join(heading for heading, _ in COLUMNS) + " |")
        lines.append("| --- |" + " ---: |" * (len(COLUMNS) - 1))
        lines += ["| " + " | ".join(cells_of(row)) + " |" for row in members]
        void = [f"- {row.peer}, void: {problem}" for row in members for problem in row.problems]
        lines += ["", *void] if void else []
    return "\n".join(lines) + "\n"
