"""Request heads: what is kept between requests of a connection, limits, early refusal, and what a log may tell."""

from __future__ import annotations

import pytest

from gateway.errors import GatewayError, Reason
from gateway.h1.request import RequestHead, check_partial_head, parse_request_head, parse_similar_head

HOST = b"Host: a.example\r\n"


def parse(data: bytes, previous: RequestHead | None = None, max_fields: int = 100) -> RequestHead:
    end = data.index(b"\r\n\r\n") + 4
    similar = parse_similar_head(data, previous.fields) if previous is not None else None
    return similar or parse_request_head(data, end, max_fields)


def refusal(data: bytes, max_fields: int = 100) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        parse(data, max_fields=max_fields)
    return caught.value


def partial_refusal(data: bytes, limit: int = 1000) -> Reason:
    with pytest.raises(GatewayError) as caught:
        check_partial_head(data, limit)
    return caught.value.reason


def test_equal_fields_are_understood_once() -> None:
    first = parse(b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n")
    second = parse(b"GET /b HTTP/1.1\r\n" + HOST + b"\r\n", first)
    other = parse(b"GET /b HTTP/1.1\r\n" + HOST + b"A: b\r\n\r\n", first)
    assert second.fields is first.fields
    assert other.fields is not first.fields


def test_fields_kept_from_before_are_judged_with_the_new_request_line() -> None:
    first = parse(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
    with pytest.raises(GatewayError, match=r"Transfer-Encoding in HTTP/1\.0"):
        parse(b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n", first)
    nothing = parse(b"GET / HTTP/1.0\r\n\r\n")
    with pytest.raises(GatewayError, match="Host is missing"):
        parse(b"GET / HTTP/1.1\r\n\r\n", nothing)


def test_the_host_of_an_absolute_target_is_not_kept_for_the_next_request() -> None:
    absolute = parse(b"GET http://b.example/ HTTP/1.1\r\n" + HOST + b"\r\n")
    assert absolute.fields.host == b"b.example"
    assert parse(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n", absolute).fields.host == b"a.example"
    assert parse(b"GET / HTTP/1.0\r\n\r\n", absolute).fields.host == b""
    with pytest.raises(GatewayError, match="Host is missing"):
        parse(b"GET / HTTP/1.1\r\n\r\n", absolute)


def test_an_absolute_target_does_not_change_fields_kept_from_before() -> None:
    first = parse(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    absolute = parse(b"GET http://b.example/ HTTP/1.1\r\n" + HOST + b"\r\n", first)
    assert (first.fields.host, absolute.fields.host) == (b"a.example", b"b.example")
    assert absolute.fields.forward == b"Host: b.example\r\n"


def test_owned_values_keep_their_case() -> None:
    head = parse(
        b"GET / HTTP/1.1\r\n" + HOST + b"X-Request-ID:  AbC \r\nx-forwarded-FOR: ::F\r\nX-Forwarded-For: ::E\r\n\r\n"
    )
    assert head.fields.owned == {b"x-request-id": [b"AbC"], b"x-forwarded-for": [b"::F", b"::E"]}


def test_the_host_is_found_wherever_its_line_is() -> None:
    head = parse(b"GET / HTTP/1.1\r\nX-Host: b\r\nA: host: c\r\nHOST:A.Example\r\nHosts: d\r\n\r\n")
    assert (head.fields.host, head.fields.host_field) == (b"a.example", b"A.Example")


def test_the_number_of_fields_is_limited() -> None:
    assert refusal(b"GET / HTTP/1.1\r\n" + HOST * 4 + b"\r\n", max_fields=3).reason is Reason.HEADER_TOO_LARGE
    assert parse(b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\nC: d\r\n\r\n", max_fields=3)


def test_what_follows_the_head_is_not_looked_at() -> None:
    assert parse(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n\0\n \xff").target == b"/"


def test_reasons_name_the_line_but_no_value() -> None:
    secret = b"Authorization : Basic c2VjcmV0\r\n"
    error = refusal(b"GET / HTTP/1.1\r\n" + HOST + secret + b"\r\n")
    assert error.detail == "header line 2 has a malformed name: b'Authorization '"
    error = refusal(b"GET / HTTP/1.1\r\n" + HOST + b"Cookie: secret\x01\r\n\r\n")
    assert error.detail == "header line 2, b'Cookie', holds a control character"
    assert refusal(b"GET / HTTP/1.1\r\n" + HOST + b" secret\r\n\r\n").detail == "header line 2 is folded"
    assert refusal(b"GET / HTTP/1.1\r\nsecret\r\n\r\n").detail == "header line 1 has no colon"


@pytest.mark.parametrize(
    "data",
    [
        *(
            b"",
            b"\r",
            b"G",
            b"GET",
            b"GET ",
            b"GET /",
            b"GET / ",
            b"GET / HTTP",
            b"GET / HTTP/1.1",
            b"GET / HTTP/1.1\r",
        ),
        *(b"GET / HTTP/2", b"GET / HTTP/2\r", b"GET / HTTP/2.", b"GET / HTTP/9.9\r"),
        *(b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n\r", b"GET / HTTP/1.1\r\nHos", b"GET / HTTP/1.1\r\nHost:"),
        *(b"GET / HTTP/1.1\r\nHost: a", b"GET / HTTP/1.1\r\nHost: a\r", b"GET / HTTP/1.1\r\nHost: a\r\n"),
        b"GET / HTTP/1.1\r\nHost: a\r\n\r",
    ],
)
def test_what_can_still_become_a_head_is_awaited(data: bytes) -> None:
    check_partial_head(data, 1000)


@pytest.mark.parametrize(
    "data",
    [
        *(
            b"\n",
            b"\rG",
            b" ",
            b"\x16\x03\x01",
            b"GET\t",
            b"GET  ",
            b"GET /\n",
            b"GET /\r",
            b"GET /\0",
            b"GET /#",
            b"GET /\xc3",
        ),
        *(
            b"GET / X",
            b"GET / http",
            b"GET / HTTP/x",
            b"GET / HTTP/11",
            b"GET / HTTP/1.1 ",
            b"GET / HTTP/1.1\n",
            b"GET /\r\n",
        ),
        *(b"GET / HTTP/1.1\r\n ", b"GET / HTTP/1.1\r\n\n", b"GET / HTTP/1.1\r\n:", b"GET / HTTP/1.1\r\nHost "),
        *(
            b"GET / HTTP/1.1\r\nA: b\n",
            b"GET / HTTP/1.1\r\nA: b\rc",
            b"GET / HTTP/1.1\r\nA: \0",
            b"GET / HTTP/1.1\r\nA\r",
        ),
        b"GET / HTTP/1.1\r\nA: b\r\n c",
    ],
)
def test_what_can_not_become_a_head_is_refused_at_once(data: bytes) -> None:
    assert partial_refusal(data) is Reason.MALFORMED_REQUEST


def test_another_version_is_refused_once_its_line_is_whole() -> None:
    assert partial_refusal(b"GET / HTTP/2.0\r\n") is Reason.VERSION


def test_limits_of_an_unfinished_head() -> None:
    assert partial_refusal(b"GET /" + b"a" * 20, limit=20) is Reason.TARGET_TOO_LONG
    assert partial_refusal(b"GET / HTTP/1.1\r\nA: bcd", limit=20) is Reason.HEADER_TOO_LARGE
    check_partial_head(b"GET / HTTP/1.1\r\nA: b", limit=20)
    assert partial_refusal(b"GET / HTTP/1.1\r\nA: \0\0", limit=20) is Reason.MALFORMED_REQUEST
    assert (
        partial_refusal(b"GET / HTTP/1.1\r\nA: b\0", limit=20) is Reason.HEADER_TOO_LARGE
    )  # past the limit nothing counts


@pytest.mark.parametrize(
    "line",
    [
        b"GET /b HTTP/1.1",
        b"GET  /b HTTP/1.1",
        b"GET /\x7f HTTP/1.1",
        b"GET /#b HTTP/1.1",
        b"get /b HTTP/1.0",
        b"B /b HTTP/2.0",
    ],
)
@pytest.mark.parametrize("rest", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\r\n"])
def test_the_same_fields_again_mean_what_they_mean_when_read_anew(line: bytes, rest: bytes) -> None:
    first = parse(b"GET /a HTTP/1.1\r\n" + HOST + b"A: b\r\n\r\n")
    data = line + b"\r\n" + HOST + b"A: b\r\n\r\n" + rest
    readings: list[tuple[object, ...]] = []
    for previous in (first, None):
        try:
            head = parse(data, previous)
        except GatewayError as error:
            readings.append((error.reason, error.detail))
        else:
            readings.append((head.method, head.target, head.minor, head.fields.forward, head.length))
    assert readings[0] == readings[1]


def test_fields_that_only_begin_alike_are_read_anew() -> None:
    first = parse(b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n")
    for more in (b"B: c\r\n", b" folded\r\n", b"Host: b.example\r\n"):
        assert parse_similar_head(b"GET /a HTTP/1.1\r\n" + HOST + more + b"\r\n", first.fields) is None
    assert parse_similar_head(b"GET /a HTTP/1.1\r\n" + HOST + b"\r", first.fields) is None
