"""From figures to Prometheus's text formats, by prometheus-client, quickly enough for thousands of instances.

The library takes 10 to 20 us for a line, which is half a second for 1,000 instances, and nearly all of it goes into
what stays the same: names, labels, order, comments. So it writes one row of each family, once for each format, with
blanks in the places of the labels' values and of the numbers. A row's labels are filled in when it is seen first, and
its numbers when they have changed. A test holds the result to what the library writes by itself, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from gateway.admin.families import Family, Labels

Values = tuple[float, ...]  # of a row: one, or one for each part; of a histogram: buckets (cumulative), count, sum
Encode = Callable[[Collector], bytes]

FORMATS: Final = 3  # media types whose lines are kept; Prometheus asks for one, people for another
_END: Final = "# EOF"  # the last line of OpenMetrics


@dataclass(frozen=True, slots=True)
class Measured:
    """A family with its rows; no two rows have the same labels."""

    family: Family
    rows: Sequence[tuple[Labels, Values]]


class GatewayCollector(Collector):
    """The gateway's figures as the library's families: what any registry of the library can take."""

    def __init__(self, measured: Iterable[Measured]) -> None:
        self._measured = measured

    def collect(self) -> Iterable[Metric]:
        return [_metric(each.family, each.rows) for each in self._measured]


class Exposition:
    """Writes the body of /metrics. Not for several threads at once."""

    def __init__(self) -> None:
        self._formats: dict[str, dict[str, _Lines]] = {}  # by media type and family

    def render(self, measured: Iterable[Measured], accept: str) -> tuple[bytes, str]:
        """The figures in the format that the Accept header asks for, and its media type."""
        encode, media_type = choose_encoder(accept)
        known = self._formats.pop(media_type, {})
        self._formats[media_type] = known  # the one used last comes last
        if len(self._formats) > FORMATS:
            del self._formats[next(iter(self._formats))]
        pieces: list[str] = []
        for each in measured:
            name = each.family.name
            lines = known.get(name)
            if lines is None:
                lines = known[name] = _Lines(each.family, encode)
            lines.write(each.rows, pieces)
        pieces.append(encode(GatewayCollector(())).decode())  # the end, where the format has one
        return "".join(pieces).encode(), media_type


class _Row:
    """The lines of one row: as a template, and as they were last."""

    __slots__ = ("template", "text", "values")

    def __init__(self, template: str) -> None:
        self.template = template
        self.values: Values = ()
        self.text = ""


class _Lines:
    """What the library wrote for one family in one format."""

    def __init__(self, family: Family, encode: Encode) -> None:
        self._labels = family.labels
        self._rows: dict[Labels, _Row] = {}
        blanks = tuple(f"%({label})s" for label in family.labels)
        written = encode(GatewayCollector((Measured(family, [(blanks, (0.0,) * _width(family))]),))).decode()
        lines = [line for line in written.split("\n") if line and line != _END]
        self._comments = "".join(line + "\n" for line in lines if line.startswith("#"))
        samples = (line.rpartition(" ")[0] for line in lines if not line.startswith("#"))
        self._pattern = "".join(f"{sample} %%s\n" for sample in samples)

    def write(self, rows: Sequence[tuple[Labels, Values]], pieces: list[str]) -> None:
        """Append the family's text for these rows."""
        known = self._rows
        pieces.append(self._comments)
        for labels, values in rows:
            row = known.get(labels)
            if row is None:
                row = known[labels] = _Row(self._fill(labels))
            if row.values != values:
                row.values = values
                row.text = row.template % tuple(map(number, values))
            pieces.append(row.text)
        if len(known) > len(rows):  # some are gone
            self._rows = {labels: known[labels] for labels, _ in rows}

    def _fill(self, labels: Labels) -> str:
        """The lines of a row, %s where its numbers go."""
        return self._pattern % dict(zip(self._labels, map(_escaped, labels), strict=True))


def _width(family: Family) -> int:
    """How many values a row has."""
    return len(family.bounds) + 3 if family.kind == "histogram" else max(1, len(family.parts))


def _escaped(value: str) -> str:
    """A label's value as both formats have it, to stand in a template."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"").replace("%", "%%")


@lru_cache(maxsize=8192)  # most numbers of a gateway are small or stay as they are
def number(value: float) -> str:
    """A number as the library writes it."""
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]
    return text


def _metric(family: Family, rows: Sequence[tuple[Labels, Values]]) -> Metric:
    """A family of the library's."""
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(family.name, family.meaning, labels=family.labels, unit=family.unit)
        bounds = [*map(str, family.bounds), "+Inf"]
        for labels, values in rows:
            histogram.add_metric(labels, list(zip(bounds, values, strict=False)), values[-1])
        return histogram
    make = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    name = family.name.removesuffix("_total") if family.kind == "counter" else family.name
    metric = make(name, family.meaning, labels=family.all_labels, unit=family.unit)
    for labels, values in rows:
        if family.parts:
            for part, value in zip(family.parts, values, strict=True):
                metric.add_metric((*labels, part), value)
        else:
            metric.add_metric(labels, values[0])
    return metric
