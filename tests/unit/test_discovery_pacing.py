"""The first changes pass at once, a flood is slowed; retries double and spread."""

from __future__ import annotations

from random import Random

import pytest

from discovery.consul_sd.pacing import BURST, LAST_DELAY, LONGEST, SHORTEST, Backoff, Bucket


def test_a_burst_passes_and_then_the_delay_grows_to_its_limit() -> None:
    bucket, now = Bucket(), 1000.0
    delays = []
    for _ in range(20):
        delays.append(bucket.take(now))
        now += delays[-1]
    assert delays[:BURST] == [0.0] * BURST
    assert delays[BURST] == pytest.approx(SHORTEST)
    assert delays[BURST:] == sorted(delays[BURST:])
    assert delays[-1] == pytest.approx(LONGEST)


def test_after_a_quiet_time_a_change_passes_at_once_again() -> None:
    bucket, now = Bucket(), 0.0
    for _ in range(20):
        now += bucket.take(now)
    now += BURST * LONGEST
    assert [bucket.take(now) for _ in range(BURST)] == [0.0] * BURST
    assert bucket.take(now) == pytest.approx(SHORTEST)


def test_a_slower_one_lets_the_same_burst_pass_and_may_become_so_at_any_time() -> None:
    bucket, now = Bucket(), 0.0
    assert [bucket.take(now) for _ in range(BURST)] == [0.0] * BURST
    bucket.shortest = 0.8
    delays = []
    for _ in range(3):
        delays.append(bucket.take(now))
        now += delays[-1]
    assert delays == pytest.approx([0.8, LONGEST, LONGEST])
    now += BURST * LONGEST
    assert [bucket.take(now) for _ in range(BURST)] == [0.0] * BURST
    assert bucket.take(now) == pytest.approx(0.8)


def test_the_backoff_doubles_with_jitter_and_starts_anew() -> None:
    backoff = Backoff(Random(1))
    for ceiling in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0):
        assert ceiling / 2 <= backoff.delay() <= ceiling
    backoff.reset()
    assert backoff.delay() <= 0.1


def test_what_cannot_get_better_soon_waits_longest_at_once() -> None:
    assert Backoff(Random(1)).delay(is_hopeless=True) >= LAST_DELAY / 2
