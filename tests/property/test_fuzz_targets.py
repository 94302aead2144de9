"""What `make fuzz` runs for minutes, run for a moment: the targets are in order, and their seeds find nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz import fuzz_proxy, fuzz_proxy_protocol, fuzz_request, fuzz_response

ROOT = Path(__file__).parents[2]
TARGETS: list[tuple[Callable[[bytes], None], str]] = [
    (fuzz_request.one_input, "tests/corpus/request/*"),
    (fuzz_response.one_input, "tests/corpus/response/*"),
    (fuzz_proxy.one_input, "fuzz/corpus/proxy"),
    (fuzz_proxy_protocol.one_input, "fuzz/corpus/proxy_protocol"),
]


@pytest.mark.parametrize(("one_input", "folder"), TARGETS, ids=[folder for _, folder in TARGETS])
def test_the_seeds_find_nothing(one_input: Callable[[bytes], None], folder: str) -> None:
    seeds = [path for path in ROOT.glob(f"{folder}/*") if path.is_file()]
    assert len(seeds) > 5
    for seed in seeds:
        data = seed.read_bytes()
        if len(data) <= 4096:
            one_input(data)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=120))
def test_any_events_are_handled(data: bytes) -> None:
    fuzz_proxy.one_input(data)
