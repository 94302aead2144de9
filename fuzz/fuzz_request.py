"""Requests: any bytes are accepted with one meaning or refused with a GatewayError, the same however they are cut."""

from __future__ import annotations

from fuzz.splits import splits
from tests.h1_driver import read_requests


def one_input(data: bytes) -> None:
    first, *others = (read_requests(pieces).told() for pieces in splits(data))
    for other in others:
        assert other == first, f"{other} is not {first}"
