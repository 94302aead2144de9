"""Quantiles from histograms as the ledger keeps them: counts per bucket, not cumulative, one beyond the last bound."""

from __future__ import annotations

from collections.abc import Sequence


def quantile(share: float, bounds: Sequence[float], counts: Sequence[int]) -> float | None:
    """The `share` quantile in seconds of a histogram (`counts`: not cumulative, one beyond the last bound).

    Interpolated linearly inside its bucket, as Prometheus's histogram_quantile does; the last bound
    stands for all that is beyond it. None without any observation.
    """
    total = sum(counts)
    if total == 0:
        return None
    rank, seen, lower = share * total, 0, 0.0
    for bound, count in zip(bounds, counts, strict=False):
        if count and seen + count >= rank:
            return lower + (bound - lower) * (rank - seen) / count
        seen += count
        lower = bound
    return lower
