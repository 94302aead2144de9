"""A real application, httpbin, answers through the gateway as it does directly."""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import select
import subprocess
import sys
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.gateway_config import one_service
from tests.gateways import ROOT, RunningGateway, start_gateway

HOST = "httpbin.test:8080"
# Added by the gateway (to the request, and to the response), or of one connection only.
ADDED = frozenset({"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id", "traceparent", "via"})
OF_HOP = frozenset({"connection", "keep-alive", "date", "x-gateway", "x-request-id"})


@pytest.fixture(scope="module")
def httpbin() -> Iterator[str]:
    """host:port of the application itself."""
    process = subprocess.Popen(
        [sys.executable, "-P", str(ROOT / "tests" / "httpbin_server.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        process_group=0,
    )
    with process:
        assert process.stdout is not None
        try:
            assert select.select([process.stdout], [], [], 20)[0], "httpbin did not start"
            yield f"127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, httpbin: str) -> Iterator[RunningGateway]:
    config = one_service(f"http://{httpbin}", health='path = "/status/200"')
    with start_gateway(tmp_path_factory.mktemp("httpbin"), config) as started:
        started.wait_until(lambda: started.get("/get").status == 200)
        yield started


@dataclass(frozen=True, slots=True)
class Seen:
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes


def ask(
    address: str, method: str, target: str, headers: Mapping[str, str], body: bytes | Iterable[bytes] | None
) -> Seen:
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    try:
        given = {"Host": HOST, "Accept-Encoding": "identity", **headers}
        connection.request(method, target, body, given, encode_chunked="Transfer-Encoding" in headers)
        response = connection.getresponse()
        fields = sorted((name.lower(), value) for name, value in response.getheaders())
        return Seen(response.status, response.reason, [f for f in fields if f[0] not in OF_HOP], response.read())
    finally:
        connection.close()


def plain(seen: Seen) -> object:
    """What the application said, without what the gateway is to add and httpbin echoes."""
    headers = seen.headers
    body: Any = seen.body
    if ("content-type", "application/json") in headers and not any(name == "content-encoding" for name, _ in headers):
        headers = [field for field in headers if field[0] != "content-length"]
        lines = [json.loads(line) for line in seen.body.splitlines()] if seen.body.count(b"\n{") else None
        body = lines or (json.loads(seen.body) if seen.body else None)
        for echo in body if isinstance(body, list) else [body]:
            if isinstance(echo, dict) and isinstance(echo.get("headers"), dict):
                echo["headers"] = {
                    name: value for name, value in echo["headers"].items() if name.lower() not in ADDED | {"connection"}
                }
    return seen.status, seen.reason, headers, body


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
MULTIPART = b'--b\r\nContent-Disposition: form-data; name="f"; filename="a.txt"\r\n\r\nhello\r\n--b--\r\n'
CASES: list[tuple[str, str, dict[str, str], bytes | None]] = [
    *[(method, "/anything/a%2Fb/../c;d?x=1&y=%20&x=2", {}, None) for method in ("GET", "DELETE", "PATCH", "PUT")],
    ("OPTIONS", "/get", {}, None),
    ("TRACE", "/anything", {}, None),
    ("GET", "/post", {}, None),
    ("POST", "/post", FORM, b"a=1&b=two"),
    ("PUT", "/put", JSON, b'{"a": [1, 2]}'),
    ("PATCH", "/patch", {}, b"\x00\xff raw"),
    ("DELETE", "/delete", JSON, b"{}"),
    ("POST", "/anything", {"Content-Type": "multipart/form-data; boundary=b"}, MULTIPART),
    ("POST", "/post", FORM, b""),
    *[("GET", f"/status/{code}", {}, None) for code in (200, 201, 202, 204, 205, 301, 302, 304, 307, 308)],
    *[("GET", f"/status/{code}", {}, None) for code in (400, 401, 402, 404, 406, 409, 418, 429, 500, 501, 502, 503)],
    ("GET", "/redirect/3", {}, None),
    ("GET", "/absolute-redirect/2", {}, None),
    ("GET", "/relative-redirect/2", {}, None),
    ("GET", "/redirect-to?url=http%3A%2F%2Fexample.com%2F&status_code=307", {}, None),
    ("GET", "/stream/20", {}, None),
    ("GET", "/stream-bytes/70000?seed=3&chunk_size=700", {}, None),
    ("GET", "/drip?duration=0.2&numbytes=20&code=203", {}, None),
    ("GET", "/bytes/100000?seed=7", {}, None),
    ("GET", "/range/5000", {}, None),
    ("GET", "/range/5000?chunk_size=100", {"Range": "bytes=17-2016"}, None),
    ("GET", "/range/5000", {"Range": "bytes=9000-"}, None),
    ("GET", "/cookies", {"Cookie": "a=1; b=2"}, None),
    ("GET", "/cookies/set?one=1&two=2", {}, None),
    ("GET", "/cookies/delete?one", {"Cookie": "one=1"}, None),
    ("GET", "/basic-auth/me/secret", {}, None),
    ("GET", "/basic-auth/me/secret", {"Authorization": "Basic bWU6c2VjcmV0"}, None),
    ("GET", "/hidden-basic-auth/me/secret", {}, None),
    ("GET", "/bearer", {"Authorization": "Bearer abc"}, None),
    ("GET", "/headers", {"X-Odd": "a,b;  c", "Accept": "*/*", "Te": "trailers"}, None),
    ("GET", "/response-headers?X-A=1&X-A=2&Server=mine", {}, None),
    ("GET", "/cache/60", {}, None),
    ("GET", "/cache", {"If-None-Match": "x"}, None),
    ("GET", "/etag/tag", {"If-None-Match": '"tag"'}, None),
    ("GET", "/etag/tag", {"If-Match": '"other"'}, None),
    *[("GET", f"/{page}", {}, None) for page in ("html", "xml", "json", "robots.txt", "deny", "encoding/utf8")],
    *[("GET", f"/image/{kind}", {}, None) for kind in ("png", "jpeg", "webp", "svg")],
    ("GET", "/links/5/2", {}, None),
    ("GET", "/base64/aGVsbG8%3D", {}, None),
    ("GET", "/delay/0.1", {}, None),
    *[("HEAD", target, {}, None) for target in ("/get", "/bytes/1000?seed=1", "/stream/3", "/status/404", "/drip")],
]


@pytest.mark.parametrize(("method", "target", "headers", "body"), CASES, ids=[f"{c[0]} {c[1]}" for c in CASES])
def test_it_answers_as_it_does_directly(
    gateway: RunningGateway, httpbin: str, method: str, target: str, headers: dict[str, str], body: bytes | None
) -> None:
    through = ask(gateway.listen, method, target, headers, body)
    assert plain(through) == plain(ask(httpbin, method, target, {"X-Forwarded-For": "127.0.0.1", **headers}, body))


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_coded_body_is_passed_on_as_it_is(gateway: RunningGateway, coding: str) -> None:
    seen = ask(gateway.listen, "GET", f"/{coding}", {"Accept-Encoding": coding}, None)
    assert ("content-encoding", coding) in seen.headers
    assert json.loads(zlib.decompress(seen.body, wbits=47))["gzipped" if coding == "gzip" else "deflated"] is True


@pytest.mark.parametrize("is_chunked", [False, True], ids=["with a length", "chunked"])
def test_ten_megabytes_both_ways_arrive_unchanged(gateway: RunningGateway, httpbin: str, is_chunked: bool) -> None:
    text = random.Random(1).randbytes(5_000_000).hex().encode()
    pieces = [text[at : at + 70_001] for at in range(0, len(text), 70_001)]
    headers = {"Content-Type": "text/plain"} | ({"Transfer-Encoding": "chunked"} if is_chunked else {})
    seen = ask(gateway.listen, "POST", "/anything", headers, iter(pieces) if is_chunked else text)
    assert seen.status == 200
    back = json.loads(seen.body)["data"].encode()
    assert (len(back), hashlib.sha256(back).digest()) == (len(text), hashlib.sha256(text).digest())


def test_a_body_that_drips_is_passed_on_as_it_comes(gateway: RunningGateway) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    began = time.monotonic()
    connection.request("GET", "/drip?duration=1&numbytes=5")
    response = connection.getresponse()
    first = response.read(1)
    first_after = time.monotonic() - began
    assert first + response.read() == b"*****"
    assert first_after < 0.5 * (time.monotonic() - began)
    connection.close()


def test_curl_gets_its_100_continue(gateway: RunningGateway, tmp_path: Path) -> None:
    """It would wait a whole second for one that does not come."""
    body = tmp_path / "body"
    body.write_bytes(b"z" * 1_000_000)
    url = f"http://{gateway.listen}/post"
    found = subprocess.run(
        ["curl", "-sSv", "-HExpect: 100-continue", "--data-binary", f"@{body}", "-w\n%{time_total}", url],
        capture_output=True,
        check=True,
        timeout=20,
    )
    answer, _, seconds = found.stdout.rpartition(b"\n")
    assert b"HTTP/1.1 100" in found.stderr
    assert len(json.loads(answer)["form"].popitem()[0]) == 1_000_000
    assert float(seconds) < 0.9
