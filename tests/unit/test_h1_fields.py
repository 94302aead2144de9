"""Helpers on blocks of field lines."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError, Reason
from gateway.h1.fields import content_length, finder, list_tokens, without
from gateway.h1.request import parse_request_head


def test_a_finder_finds_whole_names_at_line_starts_only() -> None:
    block = b"\nte: a\r\nx-te: b\r\nten: c\r\nx: te: d\r\nte:\r\n"
    assert finder(b"te|host").findall(block) == [(b"te", b"a"), (b"te", b"")]


def test_without_takes_lines_out_whatever_their_case() -> None:
    block = b"A: 1\r\nb: 2\r\nB:3\r\nC: b: 4\r\n"
    assert without(block, {b"b"}) == b"A: 1\r\nC: b: 4\r\n"
    assert without(block, {b"a", b"b", b"c"}) == b""
    assert without(block, frozenset()) == block


@given(
    st.lists(st.sampled_from([b"A: 1\r\n", b"a:\r\n", b"AA: a: \r\n", b"B: 2\r\n", b"ab: a\r\n"])).map(b"".join),
    st.sets(st.sampled_from([b"a", b"aa", b"b", b"c"])),
)
def test_without_does_the_same_for_few_names_and_for_many(block: bytes, names: set[bytes]) -> None:
    many = names | {b"x%d" % number for number in range(10)}
    assert without(block, names) == without(block, many)


def test_list_elements() -> None:
    assert list_tokens(b" a ,B,,\tc\t,") == [b"a", b"b", b"c"]


@pytest.mark.parametrize("values", [[], [b"1", b"1"], [b""], [b"+1"], [b"1 2"], [b"\xb2"], [b"1\n"], [b"9" * 19]])
def test_lengths_that_are_none(values: list[bytes]) -> None:
    with pytest.raises(GatewayError) as caught:
        content_length(values, Reason.AMBIGUOUS_LENGTH)
    assert caught.value.reason is Reason.AMBIGUOUS_LENGTH


@pytest.mark.parametrize(
    "lines",
    [
        b"Connection: " + b"a," * 30_000 + b"\r\n",
        b"Connection: " + b",".join(b"%x" % n for n in range(12_000)) + b"\r\n" + b"A: b\r\n" * 90,
        b"A: " + b" \t" * 30_000 + b"x\r\n",
        b"Content-Length:" + b" " * 60_000 + b"1\r\n",
        b"Upgrade: " + b"a/" * 30_000 + b"\r\nConnection: upgrade\r\n",
        b"X-Forwarded-For: a\r\n" * 99,
        b"te" * 30_000 + b": x\r\n",
    ],
)
def test_no_head_takes_more_than_linear_time(lines: bytes) -> None:
    data = b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n"
    begin = time.process_time()
    with suppress(GatewayError):  # refused or not, it must be quick
        parse_request_head(data, len(data), 100)
    assert time.process_time() - begin < 0.25
