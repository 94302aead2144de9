"""What one request may ask for: head, target, number of fields, body. What goes past a limit is told so, and ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.backends import Backend, start_backend
from tests.gateway_config import one_service
from tests.gateways import RunningGateway, start_gateway
from tests.raw_client import RawClient

HEAD, FIELDS, BODY = 2048, 10, 10_000
STALL = 1.0  # seconds
LIMITS = f"""[limits]
header_bytes = {HEAD}
headers = {FIELDS}
body_bytes = {BODY}
"""


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with start_backend("one") as started:
        yield started


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Iterator[RunningGateway]:
    config = one_service(backend.url, route=f"stream_idle_timeout = {STALL}", more=LIMITS)
    with start_gateway(tmp_path_factory.mktemp("limits"), config) as started:
        started.wait_until(lambda: started.get("/").status == 200)
        yield started


def head(line: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join((line, b"Host: x", *fields, b"", b""))


def padded(size: int) -> bytes:
    """A request head of exactly `size` bytes."""
    bare = head(b"GET / HTTP/1.1", b"X-Pad: ")
    return head(b"GET / HTTP/1.1", b"X-Pad: " + b"p" * (size - len(bare)))


def aimed(size: int) -> bytes:
    """A request line of exactly `size` bytes, and the rest of a head."""
    bare = len(b"GET / HTTP/1.1\r\n")
    return head(b"GET /" + b"t" * (size - bare) + b" HTTP/1.1")


@pytest.mark.parametrize(
    ("request_head", "expected"),
    [
        (padded(HEAD + 1), (431, "header_too_large")),
        (padded(HEAD * 8), (431, "header_too_large")),
        (padded(HEAD * 8)[:-4], (431, "header_too_large")),  # it never ends
        (head(b"GET / HTTP/1.1", *(b"X: y",) * FIELDS), (431, "header_too_large")),
        (aimed(HEAD + 1), (414, "target_too_long")),
        (aimed(HEAD * 8), (414, "target_too_long")),
        (b"GET /" + b"t" * HEAD * 8, (414, "target_too_long")),
    ],
)
@pytest.mark.parametrize("size", [65536, 100])
def test_a_head_past_a_limit(
    gateway: RunningGateway, backend: Backend, request_head: bytes, expected: tuple[int, str], size: int
) -> None:
    before = backend.stats()["requests"]
    with RawClient(gateway.port) as client:
        client.send(*(request_head[at : at + size] for at in range(0, len(request_head), size)))
        answer = client.answer()
        assert answer.reason == expected
        assert answer.fields["connection"] == "close"
        assert client.end() in ("closed", "reset")
    assert backend.stats()["requests"] == before


@pytest.mark.parametrize("request_head", [padded(HEAD), head(b"GET / HTTP/1.1", *(b"X: y",) * (FIELDS - 1))])
def test_a_head_at_a_limit(gateway: RunningGateway, request_head: bytes) -> None:
    with RawClient(gateway.port) as client:
        client.send(request_head)
        assert client.answer().status == 200


def test_a_target_near_the_limit(gateway: RunningGateway) -> None:
    with RawClient(gateway.port) as client:
        client.send(aimed(HEAD - len(b"Host: x\r\n\r\n")))
        assert client.answer().status == 200


def test_an_announced_body_past_the_limit_is_refused_before_it_is_sent(
    gateway: RunningGateway, backend: Backend
) -> None:
    before = backend.stats()["requests"]
    with RawClient(gateway.port) as client:
        client.send(head(b"POST / HTTP/1.1", b"Expect: 100-continue", b"Content-Length: %d" % (BODY + 1)))
        assert client.answer().reason == (413, "body_too_large")
        assert client.end() == "closed"
    assert backend.stats()["requests"] == before


def test_whoever_sends_on_gets_to_read_the_refusal(gateway: RunningGateway) -> None:
    with RawClient(gateway.port) as client:
        client.send(head(b"POST / HTTP/1.1", b"Content-Length: %d" % (BODY * 100)), b"b" * (BODY * 100))
        assert client.answer().reason == (413, "body_too_large")


def test_a_chunked_body_past_the_limit(gateway: RunningGateway) -> None:
    with RawClient(gateway.port) as client:
        client.send(head(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked"))
        client.send(b"%x\r\n" % (BODY // 2), b"b" * (BODY // 2), b"\r\n", b"%x\r\n" % BODY, b"b" * BODY)
        assert client.answer().reason == (413, "body_too_large")
        assert client.end() == "closed"


@pytest.mark.parametrize("coding", [b"Content-Length: %d" % BODY, b"Transfer-Encoding: chunked"])
def test_a_body_at_the_limit(gateway: RunningGateway, coding: bytes) -> None:
    body = b"b" * BODY
    with RawClient(gateway.port) as client:
        client.send(head(b"POST / HTTP/1.1", coding))
        client.send(body if coding.startswith(b"C") else b"%x\r\n%b\r\n0\r\n\r\n" % (BODY, body))
        assert client.answer().json()["body_bytes"] == BODY


@pytest.mark.parametrize("body", [b"", b"some of it"])
def test_a_body_that_stalls_is_408_and_not_the_instance_s_fault(gateway: RunningGateway, body: bytes) -> None:
    with RawClient(gateway.port) as client:
        client.send(head(b"POST / HTTP/1.1", b"Content-Length: 100"), body)
        assert client.answer().reason == (408, "body_timeout")
        assert client.end() == "closed"
    assert gateway.status()["services"][0]["instances"][0]["failures_total"] == 0


def test_oversized_trailers_and_chunk_extensions_are_400(gateway: RunningGateway) -> None:
    for tail in (b"0\r\nX-T: " + b"t" * 20_000 + b"\r\n\r\n", b"1;" + b"e" * 20_000):
        with RawClient(gateway.port) as client:
            client.send(head(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked"), tail)
            assert client.answer().reason == (400, "malformed_request")


def test_endless_empty_lines_cost_no_time(gateway: RunningGateway) -> None:
    with RawClient(gateway.port) as client:
        client.send(b"\r\n" * 2_000_000, head(b"GET / HTTP/1.1"))
        assert client.answer().status == 200
