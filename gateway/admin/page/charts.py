"""Numbers into the attributes of SVG paths. Pure; no markup here: the templates write it, escaped as everything."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

Values = Sequence[float | None]

WIDTH: Final = 600  # of every chart's coordinates; they are stretched to the place there is
HEIGHT: Final = 100
_STEPS: Final = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)


@dataclass(frozen=True, slots=True)
class Line:
    """One curve: `path` and `area` are the `d` of SVG paths, `values` what was drawn, for whoever points at it."""

    tone: str  # "main", "second", "bad"
    label: str
    path: str
    area: str
    values: str  # numbers, separated by spaces; "-" where nothing can be said


@dataclass(frozen=True, slots=True)
class Chart:
    """Curves over the same time."""

    lines: tuple[Line, ...]
    top: float  # the value at the upper edge
    seconds: int  # from the left edge to the right one
    slots: int  # points that fill the whole width


def chart(
    curves: Sequence[tuple[str, str, Values]], *, points: int, samples: int, least_top: float, end: int = 0
) -> Chart:
    """`curves`: tone, label and values (one a second, oldest first), drawn with at most `points` points each.

    The right edge is now; `samples` is how many fill the whole width. `least_top` keeps noise from filling the height.
    `end` numbers the newest sample, so that a point stands for the same samples whenever it is drawn.
    """
    step = max(1, math.ceil(samples / points))
    slots = max(2, math.ceil(samples / step))
    thinned = [(tone, label, thin(values, step, end)[-slots:]) for tone, label, values in curves]
    top = nice_top(max([least_top, *(value for _, _, values in thinned for value in values if value is not None)]))
    lines = tuple(_line(tone, label, values, slots, top) for tone, label, values in thinned)
    return Chart(lines, top, samples, slots)


def thin(values: Values, step: int, end: int = 0) -> list[float | None]:
    """One value for `step` of them, their mean: those whose numbers, up to `end`, have one quotient by `step`."""
    first = (len(values) - end) % step
    groups = [values[at : at + step] for at in range(first, len(values), step)]
    known = [[value for value in group if value is not None] for group in groups]
    return [sum(group) / len(group) if group else None for group in known]


def nice_top(value: float) -> float:
    """The least round number that is not below `value`."""
    if value <= 0.0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return next((step * unit for step in _STEPS if step * unit >= value * 0.9999), 10.0 * unit)


def _line(tone: str, label: str, values: Sequence[float | None], slots: int, top: float) -> Line:
    step = WIDTH / (slots - 1)
    left = WIDTH - step * (len(values) - 1)
    path: list[str] = []
    area: list[str] = []
    run: list[str] = []
    for number, value in enumerate([*values, None]):
        if value is not None:
            y = HEIGHT - min(value, top) / top * HEIGHT
            run.append(f"{left + number * step:.1f} {y:.1f}")
            continue
        if run:
            body = "L".join(run) if len(run) > 1 else f"{run[0]}h0.1"
            path.append("M" + body)
            begin, end = run[0].split()[0], run[-1].split()[0]
            area.append(f"M{begin} {HEIGHT}L{'L'.join(run)}L{end} {HEIGHT}Z")
        run = []
    said = " ".join("-" if value is None else f"{value:.4g}" for value in values)
    return Line(tone, label, "".join(path), "".join(area), said)
