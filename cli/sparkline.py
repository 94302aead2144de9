"""A row of numbers as a row of bars, one character each. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

BARS: Final = "▁▂▃▄▅▆▇█"
Values = Sequence[float | None]


def sparkline(values: Values, width: int, top: float | None = None) -> str:
    """The last of `values` in exactly `width` characters, the newest at the right.

    More values than characters are taken together in equal groups, of which the highest counts: a short peak is what
    people look for. `top` is the height of a full bar, by default the highest value. Blank where nothing is known.
    """
    each = max(1, -(-len(values) // width))
    groups = [values[max(0, end - each) : end] for end in range(len(values), 0, -each)][::-1]
    peaks = [max((value for value in group if value is not None), default=None) for group in groups]
    highest = top or max((peak for peak in peaks if peak is not None), default=0.0)
    return "".join(_bar(peak, highest) for peak in peaks).rjust(width)


def _bar(value: float | None, highest: float) -> str:
    if value is None:
        return " "
    if value <= 0.0 or highest <= 0.0:
        return BARS[0]
    return BARS[max(1, min(len(BARS) - 1, round(value / highest * (len(BARS) - 1))))]
