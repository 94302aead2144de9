"""Words and numbers as people read them."""

from __future__ import annotations

import pytest

from cli import layout


@pytest.mark.parametrize(
    ("seconds", "short", "long"),
    [
        (-3.0, "0s", "0s"),
        (0.4, "0s", "0s"),
        (59.9, "59s", "59s"),
        (60.0, "1m", "1m 0s"),
        (3 * 3600 + 12 * 60 + 5, "3h", "3h 12m"),
        (50 * 3600, "2d", "2d 2h"),
        (400 * 86400, "400d", "400d 0h"),
    ],
)
def test_ages(seconds: float, short: str, long: str) -> None:
    assert (layout.age(seconds), layout.long_age(seconds)) == (short, long)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (0.04, "0"), (0.44, "0.4"), (12.34, "12.3"), (99.96, "100.0"), (12345.6, "12,346")]
)
def test_rates(value: float, text: str) -> None:
    assert layout.rate(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (0.0004, "0.4 ms"), (0.0123, "12 ms"), (0.9, "900 ms"), (1.25, "1.2 s")]
)
def test_durations(seconds: float | None, text: str) -> None:
    assert layout.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "-"), (64_000, "64 kB"), (41_200_000, "41 MB"), (1_300_000_000, "1.3 GB")]
)
def test_sizes(count: int, text: str) -> None:
    assert layout.size(count) == text


def test_times_are_compared_whatever_their_zone() -> None:
    assert layout.seconds_between("2026-01-01T00:00:00.500Z", "2026-01-01T01:00:02+01:00") == 1.5


def test_nothing_that_steers_a_terminal_is_printable() -> None:
    wild = {"detail": "a\x1b[31mb\nc", "list": ["\x07", {"n": 1}], "none": None}
    assert layout.printable(wild) == {"detail": "a [31mb c", "list": [" ", {"n": 1}], "none": None}
