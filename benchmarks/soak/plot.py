"""Lines over time as SVG, small multiples above each other. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.soak.sample import Sample
from benchmarks.soak.verdict import MIB

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 860, 130, 70, 26, 44
_RIGHT = 130  # for the names of the lines
_COLORS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b")


@dataclass(frozen=True, slots=True)
class Panel:
    """One small chart: its lines share an axis that begins at 0."""

    title: str
    lines: dict[str, Sequence[float]]


def panels(samples: Sequence[Sample]) -> tuple[Panel, ...]:
    """What is drawn of a run in which the processes stayed the same, else of what they hold together."""

    def line(value: Callable[[Sample], float]) -> list[float]:
        return [value(sample) for sample in samples]

    def each(value: Callable[[Sample, int], float]) -> dict[str, Sequence[float]]:
        count = min(len(sample.processes) for sample in samples)
        return {samples[0].processes[at].role: [value(sample, at) for sample in samples] for at in range(count)}

    return (
        Panel("RSS, MiB", each(lambda sample, at: sample.processes[at].rss / MIB)),
        Panel("PSS, MiB", each(lambda sample, at: sample.processes[at].pss / MIB)),
        Panel("open descriptors", each(lambda sample, at: sample.processes[at].descriptors)),
        Panel("CPU, µs a request", {"all": line(lambda sample: sample.cpu_us)}),
        Panel(
            "latency, ms",
            {
                "p50": line(lambda sample: sample.seen.p50_us / 1000),
                "p99": line(lambda sample: sample.seen.p99_us / 1000),
                "p99.9": line(lambda sample: sample.seen.p999_us / 1000),
            },
        ),
        Panel("requests a second", {"all": line(lambda sample: sample.seen.requests / sample.seconds)}),
    )


def svg(samples: Sequence[Sample]) -> str:
    """The whole picture; of no samples an empty one."""
    drawn = panels(samples) if samples else ()
    height = _TOP + len(drawn) * (_HEIGHT + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + _RIGHT} {height}" '
        f'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    minutes = [sample.at / 60 for sample in samples]
    for number, panel in enumerate(drawn):
        parts += _drawn(panel, minutes, _TOP + number * (_HEIGHT + _GAP))
    return "\n".join([*parts, "</svg>", ""])


def _drawn(panel: Panel, minutes: Sequence[float], top: int) -> list[str]:
    highest = max((max(values) for values in panel.lines.values()), default=0) or 1.0
    end = minutes[-1] or 1.0
    bottom = top + _HEIGHT
    parts = [f'<text x="{_LEFT}" y="{top - 8}" font-weight="bold">{escape(panel.title)}</text>']
    for part in (0.0, 0.5, 1.0):
        y = bottom - part * _HEIGHT
        parts.append(f'<line x1="{_LEFT}" x2="{_LEFT + _WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{part * highest:.4g}</text>')
    parts.append(f'<text x="{_LEFT}" y="{bottom + 14}">0</text>')
    parts.append(f'<text x="{_LEFT + _WIDTH}" y="{bottom + 14}" text-anchor="end">{end:.3g} min</text>')
    for number, (name, values) in enumerate(panel.lines.items()):
        color = _COLORS[number % len(_COLORS)]
        points = " ".join(
            f"{_LEFT + minute / end * _WIDTH:.1f},{bottom - value / highest * _HEIGHT:.1f}"
            for minute, value in zip(minutes, values, strict=True)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.5"/>')
        parts.append(
            f'<text x="{_LEFT + _WIDTH + 8}" y="{top + 12 + 15 * number}" fill="{color}">{escape(name)}</text>'
        )
    return parts
