"""The table in docs/reliability.md, and what stands below it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from benchmarks.reliability.figures import Row
from benchmarks.rig.about import About, markdown, percentile

MARK = "<!-- Written by `make reliability ARGS=--page` from here on; do not edit. -->"
HEADINGS = (
    "fault",
    "times",
    "requests",
    "lost with a killed worker",
    "failed otherwise",
    "over after, ms: p50 / p99",
    "slowest answer, ms",
    "leaks",
)


def words(row: Row) -> tuple[str, ...]:
    """A row's cells, in the order of HEADINGS."""
    p50, p99 = percentile(row.recovery_ms, 50), percentile(row.recovery_ms, 99)
    return (
        row.title,
        str(row.repeated),
        f"{row.sent:,}",
        str(sum(row.lost.values())),
        str(sum(row.failed.values())),
        "-" if math.isnan(p50) else f"{p50:,.0f} / {p99:,.0f}",
        f"{row.slowest_ms:,.0f}",
        str(len(row.leaks)),
    )


def remarks(rows: Sequence[Row]) -> list[str]:
    """What does not fit into the table: from when to when, causes, what leaked."""
    found = []
    for row in rows:
        found += [f"{row.title}: over {row.recovery}"] if row.recovery != "-" else []
        found += [f"{row.title}: lost: {_causes(row.lost)}"] if row.lost else []
        found += [f"{row.title}: failed: {_causes(row.failed)}"] if row.failed else []
        found += [f"{row.title}: left behind: {each}" for each in row.leaks]
        found += [f"{row.title}: {each}" for each in row.notes]
    return found


def _causes(causes: Mapping[str, int]) -> str:
    return ", ".join(f"{count} x {cause}" for cause, count in sorted(causes.items()))


def table(where: About, rows: Sequence[Row], *, workers: int, rate: float) -> str:
    """Markdown."""
    lines = [*where.lines(), f"- {workers} workers, three instances that take 5 ms, {rate:g} requests a second", ""]
    lines += markdown(HEADINGS, [words(row) for row in rows])
    return "\n".join([*lines, "", *(f"- {each}" for each in remarks(rows))]) + "\n"


def fill_in(document: str, text: str) -> str:
    """The document with the text behind its mark. Raises ValueError when it has none."""
    return document[: document.index(MARK) + len(MARK)] + "\n\n" + text
