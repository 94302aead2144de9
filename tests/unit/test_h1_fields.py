"""Helpers on blocks of field lines."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError, Reason
from gateway.h1.fields import content_length, list_tokens, remember, without
from gateway.h1.request import parse_request_head
from gateway.h1.response import parse_response_head


@pytest.mark.parametrize("line", [b"x-te: a", b"ten: c", b"x: te: d", b"xhost: a", b"Content-Lengths: 5"])
def test_names_that_only_look_special_travel_on(line: bytes) -> None:
    block = b"Host: a\r\n" + line + b"\r\n"
    data = b"GET / HTTP/1.1\r\n" + block + b"\r\n"
    assert parse_request_head(data, len(data), 100).fields.forward == block
    data = b"HTTP/1.1 200 OK\r\n" + line + b"\r\n\r\n"
    assert parse_response_head(data, 0, len(data)).forward == line + b"\r\n"


def test_a_line_is_understood_the_same_when_it_is_seen_again() -> None:
    for _ in range(3):
        data = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\nConnection: close\r\n\r\n"
        head = parse_response_head(data, 0, len(data))
        assert (head.content_length, head.close, head.forward) == (5, True, b"Content-Length: 5\r\nX-A: b\r\n")
        data = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"
        with pytest.raises(GatewayError):
            parse_response_head(data, 0, len(data))
        with pytest.raises(GatewayError):
            parse_response_head(b"HTTP/1.1 200 OK\r\nX-A : b\r\n\r\n", 0, 30)


def test_what_is_remembered_of_lines_is_bounded() -> None:
    kinds: dict[bytes, int] = {}
    for number in range(10_000):
        remember(kinds, b"X-Id: %d" % number, 0)
    assert len(kinds) <= 4096
    remember(kinds, b"Cookie: " + b"x" * 1000, 0)
    assert all(len(line) < 1000 for line in kinds)


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
