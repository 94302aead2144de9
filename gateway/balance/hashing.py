"""Consistent hashing: a key stays with its instance, and a lost instance moves its own keys only.

A ring of 32-bit points: an instance has `POINTS` of them per unit of weight, derived from its address
alone, so that all workers have the same ring. A key belongs to the first point at or after its hash;
when that instance cannot be used, to the next other one on the ring. Past `RING` points in all, every
instance keeps the first half of its points, or quarter: a large service trades an even spread for a
ring that is built in some milliseconds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import chain
from struct import Struct
from typing import Final
from zlib import crc32

from gateway.balance.instance import LiveInstance

POINTS: Final = 160
RING: Final = 32768
_MASK: Final = 0xFFFFFFFF
_DIGEST: Final = Struct("<16I")


def key_hash(key: bytes) -> int:
    """32 bits of the key: CRC-32, whose bits then are mixed (MurmurHash3's finaliser), being linear otherwise.

    A tenth of the cost of a cryptographic hash. Whoever chooses keys to meet one instance could as
    well send the same key every time.
    """
    mixed = crc32(key)
    mixed = ((mixed ^ (mixed >> 16)) * 0x85EBCA6B) & _MASK
    mixed = ((mixed ^ (mixed >> 13)) * 0xC2B2AE35) & _MASK
    return mixed ^ (mixed >> 16)


def _points(address: str, count: int) -> Iterator[int]:
    """The first `count` points of an address; more points never change the ones before."""
    for block in range(0, count, 16):
        digest = blake2b(f"{address} {block}".encode(), digest_size=64).digest()
        yield from _DIGEST.unpack(digest)[: count - block]


class Hash:
    """By the key of the request."""

    __slots__ = ("_entries", "_limit", "_owners", "_points")
    needs_key = True
    observes = False

    def __init__(self, instances: Sequence[LiveInstance], words: memoryview, max_in_flight: int, worker: int) -> None:
        self._limit = max_in_flight
        self._entries = [(instance, instance.in_flight_view(words)) for instance in instances]
        per_weight = float(POINTS)
        weights = sum(instance.weight for instance in instances)
        while per_weight * weights > RING:
            per_weight /= 2.0
        # Point and owner in one integer each: sorts at once, and in the order of the points.
        ring = [
            point << 32 | owner
            for owner, instance in enumerate(instances)
            for point in _points(instance.address, max(1, round(per_weight * instance.weight)))
        ]
        ring.sort()
        self._points = [entry >> 32 for entry in ring]
        self._owners = [entry & _MASK for entry in ring]

    def pick(self, now: float, key: bytes, tried: Sequence[LiveInstance]) -> LiveInstance | None:
        at = bisect_left(self._points, key_hash(key))
        if at == len(self._points):
            at = 0
        instance, in_flight = self._entries[self._owners[at]]
        if (not tried or instance not in tried) and not (self._limit and sum(in_flight) >= self._limit):
            return instance
        return self._next(at, tried)

    def _next(self, at: int, tried: Sequence[LiveInstance]) -> LiveInstance | None:
        """The first usable instance after a point; every instance is looked at once at most."""
        entries, owners = self._entries, self._owners
        refused: set[int] = set()
        for index in chain(range(at, len(owners)), range(at)):
            owner = owners[index]
            if owner in refused:
                continue
            instance, in_flight = entries[owner]
            if instance not in tried and not (self._limit and sum(in_flight) >= self._limit):
                return instance
            refused.add(owner)
            if len(refused) == len(entries):
                break
        return None

    def observe(self, instance: LiveInstance, latency: float, now: float) -> None:
        """Latencies are not used."""
