"""From figures to Prometheus's text formats, by prometheus-client, quickly enough for thousands of instances.

The library takes 10 to 20 us for a line, which is half a second for 1,000 instances, and nearly all of it goes into
what stays the same: names, labels, order, comments. So it writes one row of each family, once for each format, with
blanks in the places of the labels' values and of the numbers. A row's labels are filled in when it is seen first, and
its numbers when they have changed, for all families that have the same rows at once: an instance has 34 lines of eight
families. A test holds the result to what the library writes by itself, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from gateway.admin.families import Family, Labels

Values = tuple[float, ...]  # of a family: one, or one for each part; of a histogram: buckets (cumulative), count, sum
Encode = Callable[[Collector], bytes]

FORMATS: Final = 3  # media types whose lines are kept; Prometheus asks for one, people for another
NUMBERS: Final = 16384  # whose text is kept
_END: Final = "# EOF"  # the last line of OpenMetrics
_CUT: Final = b"\xff"  # between the families in a row's text: no byte of UTF-8


@dataclass(frozen=True, slots=True)
class Measured:
    """Families that have the same labels, with their rows; no two rows have the same values of the labels."""

    families: tuple[Family, ...]
    rows: Sequence[tuple[Labels, Values]]  # a row's values: those of the first family, of the second, ...


class GatewayCollector(Collector):
    """The gateway's figures as the library's families: what any registry of the library can take."""

    def __init__(self, measured: Iterable[Measured]) -> None:
        self._measured = measured

    def collect(self) -> Iterable[Metric]:
        return [metric for each in self._measured for metric in _metrics(each)]


class Exposition:
    """Writes the body of /metrics. Not for several threads at once."""

    def __init__(self) -> None:
        self._formats: dict[str, dict[str, _Lines]] = {}  # by media type and first family

    def render(self, measured: Iterable[Measured], accept: str) -> tuple[bytes, str]:
        """The figures in the format that the Accept header asks for, and its media type."""
        encode, media_type = choose_encoder(accept)
        known = self._formats.pop(media_type, {})
        self._formats[media_type] = known  # the one used last comes last
        if len(self._formats) > FORMATS:
            del self._formats[next(iter(self._formats))]
        pieces: list[bytes] = []
        for each in measured:
            name = each.families[0].name
            lines = known.get(name)
            if lines is None:
                lines = known[name] = _Lines(each.families, encode)
            lines.write(each.rows, pieces)
        pieces.append(encode(GatewayCollector(())))  # the end, where the format has one
        return b"\n".join(pieces), media_type


class _Row:
    """The lines of one row: as a template, and as they were last, by family."""

    __slots__ = ("template", "texts", "values")

    def __init__(self, template: bytes) -> None:
        self.template = template
        self.values: Values = ()
        self.texts: list[bytes] = []


class _Lines:
    """What the library wrote for families that have the same rows, in one format."""

    def __init__(self, families: Sequence[Family], encode: Encode) -> None:
        self._labels = [label.encode() for label in families[0].labels]
        self._rows: dict[Labels, _Row] = {}
        written = [_with_blanks(family, encode) for family in families]
        self._comments = [comments for comments, _ in written]
        self._pattern = _CUT.join(pattern for _, pattern in written)

    def write(self, rows: Sequence[tuple[Labels, Values]], pieces: list[bytes]) -> None:
        """Append the families' text for these rows, without line feeds at the ends."""
        known = self._rows
        texts: list[list[bytes]] = []
        for labels, values in rows:
            row = known.get(labels)
            if row is None:
                row = known[labels] = _Row(self._fill(labels))
            if row.values != values:
                row.values = values
                row.texts = (row.template % tuple(map(_written, values))).split(_CUT)
            texts.append(row.texts)
        by_family = zip(*texts, strict=True) if texts else repeat(())
        for comments, of_family in zip(self._comments, by_family, strict=False):
            pieces.append(comments)
            pieces += of_family
        if len(known) > len(rows):  # some are gone
            self._rows = {labels: known[labels] for labels, _ in rows}

    def _fill(self, labels: Labels) -> bytes:
        """The lines of a row, %b where its numbers go."""
        return self._pattern % dict(zip(self._labels, map(_escaped, labels), strict=True))


def _with_blanks(family: Family, encode: Encode) -> tuple[bytes, bytes]:
    """The library's comments for a family, and the lines of a row with blanks for labels and numbers."""
    blanks = tuple(f"%({label})b" for label in family.labels)
    written = encode(GatewayCollector((Measured((family,), [(blanks, (0.0,) * width(family))]),))).decode()
    lines = [line for line in written.split("\n") if line and line != _END]
    samples = (line.rpartition(" ")[0] for line in lines if not line.startswith("#"))
    comments = "\n".join(line for line in lines if line.startswith("#"))
    return comments.encode(), "\n".join(f"{sample} %%b" for sample in samples).encode()


def width(family: Family) -> int:
    """How many values it has in a row."""
    return len(family.bounds) + 3 if family.kind == "histogram" else max(1, len(family.parts))


def _escaped(value: str) -> bytes:
    """A label's value as both formats have it, to stand in a template."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"").replace("%", "%%").encode()


class _Numbers(dict[float, bytes]):
    """Numbers as the library writes them: most of a gateway's are small, or stay as they are."""

    def __missing__(self, value: float) -> bytes:
        if len(self) >= NUMBERS:
            self.clear()
        text: str = floatToGoString(value)  # type: ignore[no-untyped-call]
        written = self[value] = text.encode()
        return written


_written: Final = _Numbers().__getitem__


def _metrics(measured: Measured) -> Iterator[Metric]:
    """Families of the library's."""
    start = 0
    for family in measured.families:
        stop = start + width(family)
        yield _metric(family, [(labels, values[start:stop]) for labels, values in measured.rows])
        start = stop


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
