"""Response heads: how they begin, and which have a body."""

from __future__ import annotations

import pytest

from gateway.errors import GatewayError, Reason
from gateway.h1.response import check_partial_response_head, parse_response_head


def test_a_head_is_read_where_it_starts() -> None:
    first = b"HTTP/1.1 100 Continue\r\n\r\n"
    data = first + b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
    head = parse_response_head(data, len(first), data.index(b"abc"))
    assert (head.status, head.content_length, head.forward) == (200, 3, b"Content-Length: 3\r\n")


@pytest.mark.parametrize(
    ("method", "status", "has_body"),
    [
        *((b"GET", 200, True), (b"HEAD", 200, False), (b"GET", 204, False), (b"GET", 304, False), (b"GET", 103, False)),
        *((b"POST", 205, True), (b"GET", 404, True), (b"HEAD", 500, False)),
    ],
)
def test_which_responses_have_a_body(method: bytes, status: int, has_body: bool) -> None:
    data = b"HTTP/1.1 %d x\r\n\r\n" % status
    assert parse_response_head(data, 0, len(data)).has_body(method) is has_body


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"H", b"HTTP/1", b"HTTP/1.1", b"HTTP/1.1 2", b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1 200 O"),
        *(
            b"HTTP/1.1 200\r",
            b"HTTP/1.1 200 OK\r",
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 200 OK\r\n\r",
            b"HTTP/1.1 200 OK\r\nA: b\r",
        ),
    ],
)
def test_what_can_still_become_a_head_is_awaited(data: bytes) -> None:
    check_partial_response_head(data, 1000)


@pytest.mark.parametrize(
    "data",
    [
        *(b"\r", b"\n", b"<html>", b"220 ", b"SSH-", b"HTTP/2", b"HTTP/1.1 6", b"HTTP/1.1 200O", b"HTTP/1.1 200 \0"),
        *(b"HTTP/1.1 200 OK\n", b"HTTP/1.1 200 OK\r\n ", b"HTTP/1.1 200 OK\r\nA: b\n", b"HTTP/1.1 200 OK\r\nA b"),
    ],
)
def test_what_can_not_become_a_head_is_refused_at_once(data: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        check_partial_response_head(data, 1000)
    assert caught.value.reason is Reason.BAD_RESPONSE


def test_an_unfinished_head_is_limited() -> None:
    check_partial_response_head(b"HTTP/1.1 200 OK\r\nA: b", 21)
    with pytest.raises(GatewayError, match="over 21 bytes"):
        check_partial_response_head(b"HTTP/1.1 200 OK\r\nA: bc", 21)
