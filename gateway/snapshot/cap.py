"""How much of a service may be out because of what the gateway itself concluded. Pure.

One rule for the two places that need it: a worker before it ejects, and `resolve`, which sees what all
workers ejected together.
"""

from __future__ import annotations


def most_out(total: int, max_percent: int) -> int:
    """How many of `total` instances may be out: within the percentage, rounded down, never the last one.

    `total` counts the instances that would take traffic if none were out.
    """
    return max(0, min(total * max_percent // 100, total - 1))
