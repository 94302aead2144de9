"""The ways in which one input is cut into pieces: derived from the input itself, so that a finding repeats itself."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator

_BYTEWISE = 512  # longer inputs are cut at some places only


def splits(data: bytes) -> Iterator[list[bytes]]:
    """The whole, and some ways to cut it."""
    yield [data]
    if len(data) <= _BYTEWISE:
        yield [data[at : at + 1] for at in range(len(data))]
    chance = random.Random(zlib.crc32(data))
    for _ in range(2):
        places = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(1, 5)))
        yield [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True) if start < end]
