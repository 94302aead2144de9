"""Which keys count: what an unbroken answer lacks is gone, after a break it is kept for a while."""

from __future__ import annotations

import pytest

from discovery.consul_sd.decode import DecodeError, decode_keys
from discovery.consul_sd.entries import Entries

A, B = {"gw/a": b"1"}, {"gw/b": b"2"}


def keys(entries: Entries, now: float) -> list[str]:
    return [key for key, _ in entries.current(now)]


def test_in_an_unbroken_watch_a_key_is_gone_at_once() -> None:
    entries = Entries(30.0)
    entries.apply(A | B, 0.0, is_unbroken=False)
    entries.apply(B, 1.0, is_unbroken=True)
    assert entries.current(1.0) == (("gw/b", b"2"),)
    assert entries.is_complete


def test_after_a_break_it_is_kept_for_the_grace_and_its_return_ends_that() -> None:
    entries = Entries(30.0)
    entries.apply(A | B, 0.0, is_unbroken=True)
    entries.apply({}, 1.0, is_unbroken=False)
    assert keys(entries, 2.0) == ["gw/a", "gw/b"]
    assert not entries.is_complete
    entries.apply({"gw/a": b"new"}, 3.0, is_unbroken=True)
    assert entries.current(3.0) == (("gw/a", b"new"), ("gw/b", b"2"))
    assert entries.next_expiry() == 31.0
    assert keys(entries, 31.0) == ["gw/a"]


def test_what_the_token_may_not_read_is_kept_for_good() -> None:
    entries = Entries(30.0)
    entries.apply(A, 0.0, is_unbroken=True)
    entries.apply({}, 1.0, is_unbroken=False)
    entries.is_held = True
    assert keys(entries, 1000.0) == ["gw/a"]
    assert entries.next_expiry() == float("inf")
    entries.is_held = False
    assert keys(entries, 1000.0) == []


def test_the_answer_is_decoded() -> None:
    assert decode_keys(None) == {}
    assert decode_keys([{"Key": "gw/a", "Value": b"x"}, {"Key": "gw/", "Value": None}]) == {"gw/a": b"x", "gw/": b""}
    for data in ([1], [{"Key": "a"}], [{"Key": "a", "Value": "text"}]):
        with pytest.raises(DecodeError):
            decode_keys(data)
