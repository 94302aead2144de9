"""How long this process has not been running its loop: starved of CPU, stopped, or in one long computation. Pure.

A probe that met silence while its own prober stood still says nothing about the instance: what was to be said next
was said too late. The loop tells when it asked to be woken and when it was; while probes are in flight it asks every
BEAT seconds at the least. What it wakes too late is lost, and a probe's share is the difference over its flight.
"""

from __future__ import annotations

BEAT = 0.1  # seconds; a shorter standstill may go unseen
GRACE = 0.02  # seconds; timers are no better than that, and this is no standstill


class Lateness:
    """Accumulated standstill of a loop, in seconds."""

    __slots__ = ("lost",)

    def __init__(self) -> None:
        self.lost = 0.0

    def woke(self, wanted: float, now: float) -> None:
        """The loop runs again at `now`; it had asked for `wanted`, or to be woken by an event before."""
        if now - wanted > GRACE:
            self.lost += now - wanted
