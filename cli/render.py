"""How things get on the screen: lines and tables. The only importer of rich.

On a terminal lines fit its width; elsewhere everything is printed in full, however long it gets.
What is shown is `dashboard`'s business.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console
from rich.text import Text

__all__ = ["Column", "Line", "Screen", "Text"]

UNLIMITED = 100_000  # columns, where nobody's window sets a limit
NARROW = 100  # columns below which headings are shortened and origins left out
WIDE = 120  # columns from which there is room for what is nice to have
READABLE = 24  # columns; a text is not wrapped into less
GAP = "  "
HEADING = "bold dim"

Line = Text | list[Text]  # one text across all columns, or a cell for each


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. The flexible one, the last, takes what the others leave."""

    heading: str
    right: bool = False
    flexible: bool = False
    optional: int = 0  # left out where there is not room for it: the highest first, of equals the last; 0: never


class Screen:
    """Standard output, be it a window or a pipe."""

    def __init__(self, file: TextIO | None = None) -> None:
        out = file or sys.stdout
        terminal = out.isatty()
        # A pipe has no width, and must not lose anything to rich's default of 80 columns.
        width = None if terminal or "COLUMNS" in os.environ else UNLIMITED
        self.console = Console(file=out, highlight=False, markup=False, emoji=False, width=width)
        self.is_unicode = self.console.encoding.startswith("utf")
        self.dot, self.cross, self.ring, self.bar = ("●", "✖", "○", "·") if self.is_unicode else ("*", "x", "o", "-")

    @property
    def width(self) -> int:
        """Columns, now: windows are resized."""
        return self.console.width

    @property
    def height(self) -> int | None:
        """Lines of the window; None where there is none."""
        return self.console.height if self.console.is_terminal else None

    @property
    def is_dumb(self) -> bool:
        """A terminal that can only take lines, one below the other (TERM=dumb)."""
        return self.console.is_dumb_terminal

    @property
    def is_narrow(self) -> bool:
        return self.width < NARROW

    @property
    def is_wide(self) -> bool:
        return self.width >= WIDE

    def print(self, lines: Sequence[Text]) -> None:
        """Print lines as they are."""
        for line in lines:
            line.rstrip()
            self.console.print(line, soft_wrap=True)
        self.console.file.flush()

    def ansi(self, line: Text) -> str:
        """A line as the terminal takes it, cut to its width."""
        with self.console.capture() as capture:
            self.console.print(self.cut(line), end="", soft_wrap=True)
        return capture.get()

    def cut(self, text: Text) -> Text:
        """In one line, with an ellipsis if something is lost."""
        return _cut(text, self.width)

    def table(self, columns: Sequence[Column], rows: Sequence[Line], *, whole: bool = True) -> list[Text]:
        """Headings and rows as lines, aligned across the texts between them.

        What the flexible, last column cannot hold goes on in the next line; unless `whole`, it is cut.
        """
        width = self.console.width
        every: list[Line] = [[Text(column.heading, HEADING) for column in columns], *rows]
        shown, widths = _fit(columns, [row for row in every if isinstance(row, list)], width)
        lines: list[Text] = []
        for row in every:
            if isinstance(row, Text):
                lines += list(row.wrap(self.console, width)) if whole else [_cut(row, width)]
                continue
            cells = [row[i].copy() for i in shown]
            for i, cell, cell_width in zip(shown[:-1], cells[:-1], widths[:-1], strict=True):
                cell.align("right" if columns[i].right else "left", cell_width)
            last, below = cells[-1], list[Text]()
            if not whole:
                last = _cut(last, widths[-1])
            elif last.cell_len > widths[-1] >= READABLE:
                first, *rest = last.wrap(self.console, widths[-1])
                indent = sum(widths[:-1]) + len(GAP) * len(widths[:-1])
                last, below = first, [Text(" " * indent).append_text(line) for line in rest]
            elif last.cell_len > widths[-1]:
                below = [Text(" " * 6).append_text(line) for line in last.wrap(self.console, max(READABLE, width - 6))]
                last = Text()
            if columns[shown[-1]].right:
                last.align("right", widths[-1])
            lines += [Text(GAP).join([*cells[:-1], last]), *below]
        return lines

    def wrap(self, text: Text, indent: int) -> list[Text]:
        return list(text.wrap(self.console, max(20, self.console.width - indent))) or [Text()]

    def join(self, *parts: str) -> str:
        return f" {self.bar} ".join(parts)


def _fit(columns: Sequence[Column], rows: Sequence[list[Text]], width: int) -> tuple[list[int], list[int]]:
    """Which columns there is room for, and how wide each of them is."""
    natural = [max(row[index].cell_len for row in rows) for index in range(len(columns))]
    shown = list(range(len(columns)))
    while True:
        widths = [natural[index] for index in shown]
        spare = width - sum(widths) - len(GAP) * (len(widths) - 1)
        optional = sorted((index for index in shown if columns[index].optional), key=lambda i: columns[i].optional)
        if spare >= 0 or not (optional or columns[-1].flexible):
            return shown, widths
        if columns[-1].flexible:
            room = max(len(columns[-1].heading), widths[-1] + spare)
            if room >= READABLE or not optional:
                return shown, [*widths[:-1], room]
        shown.remove(optional[-1])


def _cut(text: Text, width: int) -> Text:
    cut = text.copy()
    cut.truncate(width, overflow="ellipsis")
    return cut
