"""HTTP/1.1: any bytes give a result or a GatewayError, cuts change nothing, and h11 agrees with what is accepted."""

from __future__ import annotations

import random
import re
from pathlib import Path

import h11
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import GatewayError, Reason
from gateway.h1.framing import ChunkedReader, chunk, last_chunk
from gateway.h1.grammar import FIELD_LINE
from tests.h1_driver import Request, bytewise, cut, read_requests, read_response

CORPUS = Path(__file__).parents[1] / "corpus"


def seeds(pattern: str) -> list[bytes]:
    messages = [path.read_bytes() for path in sorted(CORPUS.glob(pattern))]
    return [message for message in messages if len(message) <= 1024]


REQUESTS, RESPONSES = seeds("request/*/*.http"), seeds("response/*/*.http")
GOOD_REQUESTS, GOOD_RESPONSES = seeds("request/accept/*.http"), seeds("response/accept/*.http")
# What parsers have been fooled with.
SCRAPS = (
    *(
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b" ",
        b"\t",
        b"\0",
        b"\x0b",
        b"\x7f",
        b"\x80",
        b"\xff",
        b":",
        b",",
        b";",
        b"=",
        b'"',
    ),
    *(
        b"0",
        b"1",
        b"f",
        b"0\r\n\r\n",
        b"+",
        b"-",
        b"_",
        b"#",
        b"?",
        b"*",
        b"/",
        b"\\",
        b"%00",
        b"@",
        b"[",
        b"]",
        b"http://",
    ),
    *(b"chunked", b"gzip", b"identity", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 1\r\n", b"Host: b\r\n"),
    *(
        b"Connection: close\r\n",
        b"Connection: Upgrade\r\n",
        b"Upgrade: websocket\r\n",
        b"HTTP/1.0",
        b"HTTP/2.0",
        b" HTTP/1.1\r\n",
    ),
    *(b"X: y\r\n", b"X : y\r\n", b" folded\r\n", b"CONNECT", b"OPTIONS", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
)
REFUSALS = {"", *(r.slug for r in Reason if r.status in (400, 414, 431, 501, 505)), Reason.METHOD_NOT_ALLOWED.slug}
FAILURES = {"", *(r.slug for r in (Reason.BAD_RESPONSE, Reason.RESPONSE_TRUNCATED, Reason.UPSTREAM_RESET))}
scraps = st.sampled_from(SCRAPS)
places = st.lists(st.integers(0, 400), max_size=6)


@st.composite
def mutated(draw: st.DrawFn, messages: list[bytes]) -> bytes:
    """A known message, or two, with a few pieces put in, taken out or doubled."""
    data = draw(st.sampled_from(messages))
    if draw(st.booleans()):
        data += draw(st.sampled_from(messages))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 6)))
        middle = draw(st.one_of(scraps, st.just(b""), st.just(data[start:end] * 2), st.binary(max_size=2)))
        data = data[:start] + middle + data[end:]
    return data


def soup() -> st.SearchStrategy[bytes]:
    return st.one_of(st.binary(max_size=64), st.lists(scraps, max_size=24).map(b"".join))


any_requests = st.one_of(mutated(REQUESTS), mutated(REQUESTS), soup())
any_responses = st.one_of(mutated(RESPONSES), mutated(RESPONSES), soup())


@given(any_requests, places)
@settings(max_examples=600, deadline=None)
def test_requests_have_one_meaning_however_they_are_cut(data: bytes, where: list[int]) -> None:
    outcome = read_requests([data])
    whole = outcome.told()
    assert outcome.reason in REFUSALS
    assert read_requests(cut(data, where)).told() == whole
    assert read_requests(bytewise(data)).told() == whole


@given(any_responses, places, st.sampled_from([b"GET", b"HEAD"]), st.booleans())
@settings(max_examples=400, deadline=None)
def test_responses_have_one_meaning_however_they_are_cut(
    data: bytes, where: list[int], method: bytes, eof: bool
) -> None:
    outcome = read_response([data], method, eof=eof)
    whole = outcome.told()
    assert outcome.reason in FAILURES
    assert read_response(cut(data, where), method, eof=eof).told() == whole
    assert read_response(bytewise(data), method, eof=eof).told() == whole


@given(any_requests)
@settings(max_examples=400, deadline=None)
def test_nothing_but_the_understood_lines_is_forwarded(data: bytes) -> None:
    for request in read_requests([data]).messages:
        forward = request.head.fields.forward
        names = [name.lower().replace(b"_", b"-") for name, _ in FIELD_LINE.findall(forward)]
        assert FIELD_LINE.sub(b"", forward) == b""
        assert not set(names) & {
            b"transfer-encoding",
            b"connection",
            b"upgrade",
            b"te",
            b"keep-alive",
            b"x-forwarded-for",
        }
        assert names.count(b"host") == (1 if request.head.fields.host_field else 0)
        assert names.count(b"content-length") == (1 if request.head.fields.content_length >= 0 else 0)


# --- h11, one way: what is accepted here, h11 accepts and understands likewise -----------------------


def lines(block: bytes) -> list[tuple[bytes, bytes]]:
    """Name and value, in lower case where h11 turns them into that."""
    pairs = [(name.lower(), value.rstrip(b" \t")) for name, value in FIELD_LINE.findall(block)]
    return [(name, value.lower() if name == b"transfer-encoding" else value) for name, value in pairs]


def body_of(connection: h11.Connection) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    body = b""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return body, list(event.headers)
        else:
            raise AssertionError(f"h11 sees no end of the body: {event!r}")


def agree(request: Request, data: bytes) -> None:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(data)
    event = connection.next_event()
    assert isinstance(event, h11.Request)
    assert event.method == request.head.method
    if re.match(rb"(?i)https?://", event.target):  # turned into origin form here
        authority = request.head.fields.host_field
        assert event.target.partition(b"://")[2] in (
            authority + request.head.target,
            authority + request.head.target.removeprefix(b"/"),
            authority + request.head.target.removeprefix(b"*"),
        )
    else:
        assert event.target == request.head.target
    assert event.http_version == b"1.%d" % request.head.minor
    assert list(event.headers) == lines(request.fields)
    assert body_of(connection) == (request.body, lines(request.trailers))


@given(mutated(GOOD_REQUESTS))
@settings(max_examples=800, deadline=None)
def test_h11_understands_accepted_requests_likewise(data: bytes) -> None:
    while data.startswith(b"\r\n"):  # h11 takes none of the empty lines that RFC 9112 2.2 allows
        data = data[2:]
    outcome = read_requests([data])
    if outcome.messages:
        agree(outcome.messages[0], data)


@given(mutated(GOOD_RESPONSES), st.sampled_from([b"GET", b"HEAD"]))
@settings(max_examples=500, deadline=None)
def test_h11_understands_accepted_responses_likewise(data: bytes, method: bytes) -> None:
    outcome = read_response([data], method, eof=True)
    head = outcome.head
    if outcome.reason or head is None or head.status == 101 or outcome.interim:
        return
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    connection.receive_data(b"")
    event = connection.next_event()
    assert isinstance(event, h11.Response)
    assert (event.status_code, event.reason) == (head.status, head.phrase)
    assert list(event.headers) == lines(outcome.fields)
    assert body_of(connection) == (outcome.body, lines(outcome.trailers))


# --- chunks -----------------------------------------------------------------------------------------

trailer_lines = st.lists(
    st.sampled_from([b"X-Sum: 1\r\n", b"X-Empty:\r\n", b'ETag: "a"\r\n', b"B: \xff\t.\r\n"]), max_size=3
)


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=8), trailer_lines.map(b"".join), st.binary(max_size=9), places
)
@settings(max_examples=300, deadline=None)
def test_what_the_chunk_writer_writes_the_reader_reads(
    pieces: list[bytes], trailers: bytes, after: bytes, where: list[int]
) -> None:
    wire = b"".join(map(chunk, pieces)) + last_chunk(trailers)
    reader = ChunkedReader(Reason.BAD_RESPONSE)
    body, rest = b"", b""
    for part in cut(wire + after, where):
        if reader.done:
            rest += part
        else:
            body += reader.feed(part)
    assert reader.done
    assert (body, reader.trailers, reader.rest + rest) == (b"".join(pieces), trailers, after)


@given(st.lists(st.one_of(scraps, st.binary(max_size=3)), max_size=30).map(b"".join), places)
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_chunks_or_an_error(data: bytes, where: list[int]) -> None:
    def read(parts: list[bytes]) -> tuple[str, bytes, bytes, bytes]:
        reader = ChunkedReader(Reason.MALFORMED_REQUEST)
        body, rest = b"", b""
        try:
            for part in parts:
                if reader.done:
                    rest += part
                else:
                    body += reader.feed(part)
        except GatewayError as error:
            return error.reason.slug, b"", b"", b""
        return "done" if reader.done else "", body, reader.trailers, reader.rest + rest

    assert read(cut(data, where)) == read([data]) == read(bytewise(data))


def test_a_long_body_of_small_chunks_in_random_pieces() -> None:
    rng = random.Random(9112)
    pieces = [rng.randbytes(rng.randint(1, 700)) for _ in range(300)]
    wire = b"".join(map(chunk, pieces)) + last_chunk(b"")
    reader = ChunkedReader(Reason.BAD_RESPONSE)
    parts = cut(wire, [rng.randint(1, len(wire)) for _ in range(500)])
    assert b"".join(map(reader.feed, parts)) == b"".join(pieces)
    assert reader.done
