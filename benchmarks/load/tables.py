"""Rows in words: the terminal's tables and the Markdown page, from one description of both."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table

from benchmarks.load.report import REFERENCE, Against, Machine, Row, Scaling, against_itself, median_of, rows, scaling
from benchmarks.load.run import Cell
from benchmarks.load.workloads import AGAINST_ITSELF, BASE, BY_NAME, Workload

Column = tuple[str, Callable[[Row], str]]


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table. The first column is words, the others are figures."""

    title: str
    headings: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def _optional(value: float | None, show: Callable[[float], str]) -> str:
    return "-" if value is None else show(value)


def columns(workload: Workload) -> tuple[Column, ...]:
    """What is shown of a workload: the same for all, and what only some measure."""
    short = "MiB" if workload.is_transfer else "req"
    found: list[Column] = [
        ("peer", lambda row: row.peer),
        (f"CPU µs/{short}", lambda row: f"{row.cpu_us:.1f}"),
        (f"vs {REFERENCE}", lambda row: _optional(row.ratio, "{:.2f}".format)),
        ("per round", lambda row: " ".join(f"{ratio:.2f}" for ratio in row.ratios) or "-"),
        (f"{short}/s", lambda row: f"{row.per_second:,.0f}"),
        ("p50 ms", lambda row: f"{row.p50_us / 1000:.2f}"),
        ("p99", lambda row: f"{row.p99_us / 1000:.2f}"),
        ("p99.9", lambda row: f"{row.p999_us / 1000:.2f}"),
        ("RSS MiB", lambda row: f"{row.rss / 2**20:.1f}"),
        ("PSS", lambda row: f"{row.pss / 2**20:.1f}"),
        ("grew", lambda row: f"{row.grown / 2**20:.1f}"),
    ]
    if workload.idle:
        found += [
            ("KiB/idle", lambda row: _optional(row.rest_bytes, lambda value: f"{value / 1024:.2f}")),
            ("rest % without", lambda row: _optional(row.rest_share_before, lambda value: f"{value:.1%}")),
            ("with idle", lambda row: _optional(row.rest_share, lambda value: f"{value:.1%}")),
        ]
    if workload.stalled:
        found.append(("KiB/stalled", lambda row: _optional(row.stall_bytes, lambda value: f"{value / 1024:.0f}")))
    return (*found, ("rounds", lambda row: f"{row.valid}/{row.rounds}"))


def words_of(row: Row) -> tuple[str, ...]:
    """A row's words. A row without a valid round shows no figure at all."""
    shown = columns(BY_NAME[row.workload])
    if row.valid:
        return tuple(show(row) for _, show in shown)
    return (row.peer, *["void"] * (len(shown) - 2), f"0/{row.rounds}")


def _workload_sheet(workload: str, workers: int, members: Sequence[Row]) -> Sheet:
    return Sheet(
        f"{workload}: {BY_NAME[workload].title}; {workers} {'worker' if workers == 1 else 'workers'}",
        tuple(heading for heading, _ in columns(BY_NAME[workload])),
        tuple(words_of(row) for row in members),
        tuple(f"{row.peer}, void: {problem}" for row in members for problem in row.problems),
    )


def _against_sheet(found: Sequence[Against]) -> Sheet:
    peers = dict.fromkeys(each.peer for each in found)
    workloads = [name for name in AGAINST_ITSELF if any(each.workload == name for each in found)]
    by_key = {(each.peer, each.workload): each.ratios for each in found}
    return Sheet(
        f"each peer against its own {BASE!r}: CPU per request, median of ratios within a round",
        ("peer", *workloads),
        tuple((peer, *(median_of(by_key.get((peer, name), ())) for name in workloads)) for peer in peers),
    )


def _scaling_sheet(found: Sequence[Scaling]) -> Sheet:
    lines = [
        (
            each.peer,
            f"{each.one:,.0f}",
            f"{each.two:,.0f}",
            median_of(each.ratios),
            " ".join(f"{ratio:.2f}" for ratio in each.ratios),
            median_of(each.ceilings),
        )
        for each in found
    ]
    headings = ("peer", "req/s, one", "req/s, two", "ratio", "per round", "ceiling here")
    return Sheet("two workers against one", headings, tuple(lines))


def _summary_sheet(all_rows: Sequence[Row]) -> Sheet:
    peers = list(dict.fromkeys(row.peer for row in all_rows))
    by_key = {(row.workload, row.workers, row.peer): row for row in all_rows}
    tables = dict.fromkeys((row.workload, row.workers) for row in all_rows)
    lines = [
        (
            name if workers == 1 else f"{name}, {workers} workers",
            *(
                _optional(row.ratio, "{:.2f}".format) if (row := by_key.get((name, workers, peer))) else "-"
                for peer in peers
            ),
        )
        for name, workers in tables
    ]
    return Sheet(f"CPU per request or MiB, by {REFERENCE}'s", ("workload", *peers), tuple(lines))


def sheets(machine: Machine, cells: Sequence[Cell]) -> list[Sheet]:
    """Every table: one per workload, then what compares workloads, then all ratios in one."""
    all_rows = rows(cells)
    tables: dict[tuple[str, int], list[Row]] = {}
    for row in all_rows:
        tables.setdefault((row.workload, row.workers), []).append(row)
    found = [_workload_sheet(workload, workers, members) for (workload, workers), members in tables.items()]
    if against := against_itself(cells):
        found.append(_against_sheet(against))
    if scaled := scaling(cells, machine.cores):
        found.append(_scaling_sheet(scaled))
    return [*found, _summary_sheet(all_rows)] if all_rows else []


def terminal(sheet: Sheet) -> list[Table | str]:
    """Title, table, and under it why rounds are void."""
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for at, heading in enumerate(sheet.headings):
        table.add_column(heading, justify="right" if at else "left", no_wrap=True)
    for line in sheet.lines:
        table.add_row(*line)
    return [sheet.title, table, *sheet.notes]


METHOD = "How this was measured, and how to read it: [benchmarks/README.md](../README.md)."


def page(machine: Machine, cells: Sequence[Cell]) -> str:
    """The Markdown page: when, where and how first, then the figures."""
    lines = [
        "# gw compared with nginx, HAProxy and Caddy",
        "",
        "Generated by `python -m benchmarks.load --page`; do not edit.",
        "",
        f"- Date: {machine.date}",
        f"- CPU: {machine.cpu}, {machine.cores} cores",
        f"- Kernel: {machine.kernel}",
        *(f"- {name}: {version}" for name, version in machine.versions.items()),
        f"- {machine.rounds} {'round' if machine.rounds == 1 else 'rounds'} of {machine.seconds} s for each cell",
        f"- Load average before the run: {machine.busy:.1f}",
        "",
        METHOD,
    ]
    every = sheets(machine, cells)
    for sheet in every[-1:] + every[:-1]:
        lines += ["", f"## {sheet.title[0].upper()}{sheet.title[1:]}", ""]
        lines.append("| " + " | ".join(sheet.headings) + " |")
        lines.append("| --- |" + " ---: |" * (len(sheet.headings) - 1))
        lines += ["| " + " | ".join(line) + " |" for line in sheet.lines]
        lines += ["", *(f"- {note}" for note in sheet.notes)] if sheet.notes else []
    return "\n".join(lines) + "\n"
