"""From cells to rows: medians over rounds, and ratios within a round. Pure."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.load.run import Cell
from benchmarks.load.workloads import AGAINST_ITSELF, BASE, SCALING

REFERENCE = "nginx"
"""The peer that the others are compared with."""

Key = tuple[str, int, str]
"""Workload, workers, peer."""


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
    busy: float
    """Load average of the minute before: what else the machine did."""


@dataclass(frozen=True, slots=True)
class Row:
    """One peer under one workload: medians over its valid rounds; every figure 0 when there is none."""

    workload: str
    workers: int
    peer: str
    valid: int
    rounds: int
    cpu_us: float
    ratios: tuple[float, ...]
    """This peer's CPU per unit by the reference's in the same round, of each round in which both are valid."""
    per_second: float
    p50_us: float
    p99_us: float
    p999_us: float
    rss: int
    pss: int
    grown: int
    """Most resident memory ever held, above what there was before the first request."""
    rest_share_before: float | None
    rest_share: float | None
    rest_bytes: float | None
    stall_bytes: float | None
    problems: tuple[str, ...]

    @property
    def ratio(self) -> float | None:
        """The median of the ratios."""
        return statistics.median(self.ratios) if self.ratios else None


@dataclass(frozen=True, slots=True)
class Against:
    """A peer under a workload beside the same peer under `BASE`: CPU per request, of each round with both valid."""

    peer: str
    workload: str
    ratios: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Scaling:
    """What a second worker brought to one peer. The tuples hold a value per round in which both are valid."""

    peer: str
    one: float
    two: float
    """Requests a second, medians."""
    ratios: tuple[float, ...]
    ceilings: tuple[float, ...]
    """What the ratio could at most have been: all cores busy with nothing but this peer, the load and the upstream, at
    what a request cost each of them with one worker."""


def rows(cells: Iterable[Cell]) -> list[Row]:
    """One row per workload, number of workers and peer, in the order in which they were first run."""
    groups: dict[Key, list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.workload, cell.workers, cell.peer), []).append(cell)
    reference = {
        (cell.workload, cell.workers, cell.round): cell
        for (_, _, peer), members in groups.items()
        if peer == REFERENCE
        for cell in members
        if not cell.problems
    }
    peers = list(dict.fromkeys(peer for _, _, peer in groups))
    ordered = sorted(groups, key=lambda key: peers.index(key[2]))
    tables = list(dict.fromkeys(key[:2] for key in groups))
    return [_row(key, groups[key], reference) for table in tables for key in ordered if key[:2] == table]


def _row(key: Key, cells: Sequence[Cell], reference: dict[tuple[str, int, int], Cell]) -> Row:
    workload, workers, peer = key
    valid = [cell for cell in cells if not cell.problems]
    loads = [cell.load for cell in valid if cell.load is not None]
    rests = [cell.rest for cell in valid if cell.rest is not None]
    stalls = [cell.stall for cell in valid if cell.stall is not None]
    return Row(
        workload,
        workers,
        peer,
        valid=len(valid),
        rounds=len(cells),
        cpu_us=_middle(cell.cpu_us for cell in valid),
        ratios=tuple(
            cell.cpu_us / beside.cpu_us
            for cell in valid
            if (beside := reference.get((workload, workers, cell.round))) is not None and beside.cpu_us > 0
        ),
        per_second=_middle(cell.per_second for cell in valid),
        p50_us=_middle(load.p50_us for load in loads),
        p99_us=_middle(load.p99_us for load in loads),
        p999_us=_middle(load.p999_us for load in loads),
        rss=int(_middle(cell.memory.rss for cell in valid)),
        pss=int(_middle(cell.memory.pss for cell in valid)),
        grown=int(_middle(cell.memory.peak - cell.start_memory.rss for cell in valid)),
        rest_share_before=_middle(rest.cpu_share_before for rest in rests) if rests else None,
        rest_share=_middle(rest.cpu_share for rest in rests) if rests else None,
        rest_bytes=_middle(rest.bytes_each for rest in rests) if rests else None,
        stall_bytes=_middle(stall.bytes_each for stall in stalls) if stalls else None,
        problems=tuple(dict.fromkeys(problem for cell in cells for problem in cell.problems)),
    )


def _middle(values: Iterable[float]) -> float:
    found = list(values)
    return statistics.median(found) if found else 0.0


def against_itself(cells: Iterable[Cell]) -> list[Against]:
    """What many routes, instances or connections cost each peer, by its own small GET of the same round."""
    valid = [cell for cell in cells if not cell.problems and cell.cpu_us > 0]
    base = {(cell.peer, cell.workers, cell.round): cell.cpu_us for cell in valid if cell.workload == BASE}
    found: dict[tuple[str, str], list[float]] = {}
    for cell in valid:
        if cell.workload in AGAINST_ITSELF and (own := base.get((cell.peer, cell.workers, cell.round))):
            found.setdefault((cell.peer, cell.workload), []).append(cell.cpu_us / own)
    return [Against(peer, workload, tuple(ratios)) for (peer, workload), ratios in found.items()]


def scaling(cells: Iterable[Cell], core_count: int) -> list[Scaling]:
    """Two workers against one, of each peer. `core_count`: the cores that all of it shared."""
    valid = [cell for cell in cells if not cell.problems and cell.workload == SCALING]
    by_round = {(cell.peer, cell.round, cell.workers): cell for cell in valid}
    found = []
    for peer in dict.fromkeys(cell.peer for cell in valid):
        pairs = [
            (cell, by_round[peer, cell.round, 2])
            for cell in valid
            if cell.peer == peer and cell.workers == 1 and (peer, cell.round, 2) in by_round
        ]
        if not pairs:
            continue
        found.append(
            Scaling(
                peer,
                one=_middle(one.per_second for one, _ in pairs),
                two=_middle(two.per_second for _, two in pairs),
                ratios=tuple(two.per_second / one.per_second for one, two in pairs),
                ceilings=tuple(core_count * 1e6 / (one.cpu_us + one.others_us) / one.per_second for one, _ in pairs),
            )
        )
    return found


def median_of(values: Sequence[float], show: Callable[[float], str] = "{:.2f}".format) -> str:
    """The median in words; "-" of nothing."""
    return show(statistics.median(values)) if values else "-"
