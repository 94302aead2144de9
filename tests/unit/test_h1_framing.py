"""Body readers at their edges: what comes behind a body, and what is refused before its line is whole."""

from __future__ import annotations

import pytest

from gateway.errors import GatewayError, Reason
from gateway.h1.framing import ChunkedReader, CloseReader, LengthReader, chunk, last_chunk


def chunked(data: bytes) -> tuple[bytes, ChunkedReader]:
    reader = ChunkedReader(Reason.BAD_RESPONSE)
    return reader.feed(data), reader


def test_a_length_reader_stops_at_its_length() -> None:
    reader = LengthReader(5)
    assert reader.feed(b"abc") == b"abc"
    assert not reader.done
    assert reader.feed(b"defg") == b"de"
    assert (reader.done, reader.rest, reader.remaining) == (True, b"fg", 0)


def test_a_length_of_zero_is_done_at_once() -> None:
    assert LengthReader(0).done


def test_a_close_reader_never_ends_by_itself() -> None:
    reader = CloseReader()
    assert reader.feed(b"0\r\n\r\n") == b"0\r\n\r\n"
    assert not reader.done


def test_what_follows_the_last_chunk_is_the_rest() -> None:
    body, reader = chunked(b"2\r\nab\r\n0\r\n\r\nGET")
    assert (body, reader.done, reader.rest, reader.trailers) == (b"ab", True, b"GET", b"")


def test_trailers_are_kept_as_written() -> None:
    _, reader = chunked(b"0\r\nX-Sum:  1 \r\nx-b:\r\n\r\n")
    assert (reader.done, reader.trailers) == (True, b"X-Sum:  1 \r\nx-b:\r\n")


def test_a_chunk_is_handed_on_before_it_is_whole() -> None:
    body, reader = chunked(b"ff\r\nab")
    assert (body, reader.done) == (b"ab", False)
    assert reader.feed(b"cd") == b"cd"


@pytest.mark.parametrize(
    "data", [b"1", b"1;", b"1;a=", b"1\r", b"0\r\n", b"0\r\n\r", b"0\r\nA", b"0\r\nA: b\r\n", b"1\r\na", b"1\r\na\r"]
)
def test_what_can_still_become_good_is_awaited(data: bytes) -> None:
    assert not chunked(data)[1].done


@pytest.mark.parametrize(
    "data",
    [
        *(
            b" ",
            b"g",
            b"\r",
            b"\n",
            b"-",
            b"1 ",
            b"1\n",
            b"1\rx",
            b"1;\0",
            b"1" * 16,
            b"1;" + b"a" * 4096,
            b"1\r\naX",
            b"1\r\na\n",
        ),
        *(b"0\r\n\n", b"0\r\n\rX", b"0\r\n ", b"0\r\n:", b"0\r\nA ", b"0\r\nA: b\n", b"0\r\nA: " + b"b" * 16384),
    ],
)
def test_what_can_not_become_good_is_refused_at_once(data: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        chunked(data)
    assert caught.value.reason is Reason.BAD_RESPONSE


def test_the_writer() -> None:
    assert chunk(b"a" * 26) == b"1a\r\n" + b"a" * 26 + b"\r\n"
    assert last_chunk(b"") == b"0\r\n\r\n"
    assert last_chunk(b"A: b\r\n") == b"0\r\nA: b\r\n\r\n"
