"""Whether a gateway stayed as it was: medians of the first and the last quarter, slopes, and the judgement. Pure."""

import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.soak.sample import Sample

MIB = 2**20
RSS = "RSS, all"
WARM_UP = 900.0
"""Seconds at most that do not count: pools and allocator arenas fill. A third of the run when it is short."""
FEWEST = 8
"""Samples after the warm-up without which there is no judgement."""
SPARE_DESCRIPTORS = 4
"""By so many may the fewest open in a quarter differ from another's: pooled connections come and go."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A quantity in its first and its last quarter after the warm-up, and what it gains in an hour."""

    name: str
    unit: str
    first: float
    last: float
    slope: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement. `problems` not empty: the gateway did not stay as it was, and why."""

    problems: tuple[str, ...]
    figures: tuple[Figure, ...]
    requests: int
    kinds: dict[str, int]
    failures: dict[str, int]


def warm_up(samples: Sequence[Sample]) -> float:
    """Seconds that do not count."""
    return min(WARM_UP, samples[-1].at / 3) if samples else 0.0


def settled(samples: Sequence[Sample]) -> list[Sample]:
    """Those after the warm-up."""
    return [sample for sample in samples if sample.at > warm_up(samples)]


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Least squares; 0 of fewer than two different x."""
    return statistics.linear_regression(xs, ys).slope if len(set(xs)) > 1 else 0.0


def quarters(values: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    """The first and the last quarter, each of at least one value."""
    size = max(1, len(values) // 4)
    return values[:size], values[-size:]


def figure(name: str, unit: str, samples: Sequence[Sample], value: Callable[[Sample], float]) -> Figure:
    """Of samples after the warm-up."""
    values = [value(sample) for sample in samples]
    first, last = quarters(values)
    per_second = slope([sample.at for sample in samples], values)
    return Figure(name, unit, statistics.median(first), statistics.median(last), per_second * 3600)


def figures(samples: Sequence[Sample]) -> tuple[Figure, ...]:
    """All that the page shows, of samples after the warm-up and with the same processes: at least one."""
    found = [
        figure("requests", "/s", samples, lambda sample: sample.seen.requests / sample.seconds),
        figure("CPU", "µs a request", samples, lambda sample: sample.cpu_us),
        figure("p50", "ms", samples, lambda sample: sample.seen.p50_us / 1000),
        figure("p99", "ms", samples, lambda sample: sample.seen.p99_us / 1000),
        figure("p99.9", "ms", samples, lambda sample: sample.seen.p999_us / 1000),
        figure(RSS, "MiB", samples, lambda sample: sample.rss / MIB),
        figure("PSS, all", "MiB", samples, lambda sample: sample.pss / MIB),
        figure("descriptors, all", "", samples, lambda sample: sample.descriptors),
        figure("threads, all", "", samples, lambda sample: sample.threads),
    ]
    for at, process in enumerate(samples[0].processes):
        found += _process_figures(process.role, samples, at)
    return tuple(found)


def _process_figures(role: str, samples: Sequence[Sample], at: int) -> list[Figure]:
    return [
        figure(f"RSS, {role}", "MiB", samples, lambda sample: sample.processes[at].rss / MIB),
        figure(f"PSS, {role}", "MiB", samples, lambda sample: sample.processes[at].pss / MIB),
        figure(f"descriptors, {role}", "", samples, lambda sample: sample.processes[at].descriptors),
    ]


def _descriptor_problems(samples: Sequence[Sample]) -> list[str]:
    """By the fewest in a quarter: what is open for a request under way comes and goes, what leaks only comes."""
    problems = []
    for at, process in enumerate(samples[0].processes):
        first, last = map(min, quarters([sample.processes[at].descriptors for sample in samples]))
        if last > first + SPARE_DESCRIPTORS:
            problems.append(
                f"The {process.role} holds more open descriptors than before: at least {last:.0f} in the last quarter, "
                f"{first:.0f} in the first."
            )
    return problems


def judge(samples: Sequence[Sample], reloads: int, growth: float) -> Verdict:
    """`reloads`: how many were asked for. `growth`: MiB an hour that the RSS of all processes may gain."""
    failures = Counter[str]()
    kinds = Counter[str]()
    for sample in samples:
        failures.update(sample.seen.failures)
        kinds.update(sample.seen.by_kind)
    after = settled(samples)
    problems = []
    if failures:
        causes = "; ".join(f"{count} {cause}" for cause, count in failures.most_common())
        problems.append(f"{failures.total()} of {kinds.total() + failures.total()} requests failed: {causes}.")
    if not kinds:
        problems.append("No request was answered.")
    known = {tuple(each.pid for each in sample.processes) for sample in samples}
    if len(known) > 1:
        problems.append("Processes ended or were replaced: the pids of supervisor and workers did not stay the same.")
    generations = [sample.generation for sample in samples if sample.generation]
    if reloads and (not generations or generations[-1] - generations[0] < reloads):
        problems.append(f"{reloads} reloads were asked for, and not each became a new generation: {generations[-1:]}.")
    if len(after) < FEWEST:
        problems.append(f"{len(after)} samples after the warm-up are too few to judge by: run it longer.")
    found: tuple[Figure, ...] = ()
    if len(known) == 1 and len(after) >= FEWEST:
        found = figures(after)
        problems += _descriptor_problems(after)
        gained = next(each.slope for each in found if each.name == RSS)
        if gained > growth:
            problems.append(f"RSS grows by {gained:.1f} MiB an hour after the warm-up; {growth:g} are allowed.")
    return Verdict(tuple(problems), found, kinds.total(), dict(kinds), dict(failures))
