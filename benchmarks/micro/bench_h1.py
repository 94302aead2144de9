"""Microseconds per head parsed: requests first on a connection and repeated on it, and responses.

Run: python -m benchmarks.micro.bench_h1
"""

from __future__ import annotations

import timeit
from collections.abc import Callable, Sequence

from gateway.errors import Reason
from gateway.h1.framing import ChunkedReader, chunk, last_chunk
from gateway.h1.request import check_partial_head, parse_request_head, parse_similar_head
from gateway.h1.response import parse_response_head

LOOPS = 500  # short runs, many of them: the best is one that nothing disturbed
REPEATS = 200

GET = b"GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n"
BROWSER = (
    b"GET /index.html?lang=en HTTP/1.1\r\n"
    b"Host: www.example.com\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    b"Accept-Language: en-US,en;q=0.5\r\n"
    b"Accept-Encoding: gzip, deflate, br, zstd\r\n"
    b"Referer: https://www.example.com/start\r\n"
    b"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n"
    b"Connection: keep-alive\r\n"
    b"Upgrade-Insecure-Requests: 1\r\n"
    b"Sec-Fetch-Dest: document\r\n\r\n"
)
POST = (
    b"POST /api/v1/users HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: client/1.0\r\nAccept: */*\r\n"
    b"Content-Type: application/json\r\nContent-Length: 512\r\n\r\n"
)
PROXIED = (
    b"GET /api/v1/users HTTP/1.1\r\nHost: www.example.com\r\nAccept: */*\r\nX-Request-ID: 0123456789abcdef\r\n"
    b"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n\r\n"
)
REQUESTS: Sequence[tuple[str, bytes]] = (
    (f"GET, {len(GET)} bytes", GET),
    ("GET of a browser, 10 fields", BROWSER),
    ("POST with Content-Length", POST),
    ("GET through another proxy", PROXIED),
)
RESPONSES: Sequence[tuple[str, bytes]] = (
    ("with Content-Length", b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\n"),
    (
        "chunked, of an application",
        b"HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nServer: app\r\nContent-Type: application/json\r\n"
        b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n",
    ),
)


def best(function: Callable[[], object], loops: int = LOOPS) -> float:
    return min(timeit.Timer(function).repeat(REPEATS, loops)) / loops * 1e6


def read_chunks(wire: bytes) -> None:
    ChunkedReader(Reason.BAD_RESPONSE).feed(wire)


def main() -> None:
    print("us per head                          first  repeated")
    for name, data in REQUESTS:
        fields = parse_request_head(data, len(data), 100).fields
        first = best(lambda data=data: parse_request_head(data, len(data), 100))  # type: ignore[misc]
        again = best(lambda data=data, fields=fields: parse_similar_head(data, fields))  # type: ignore[misc]
        print(f"request: {name:28}{first:6.2f}{again:10.2f}")
    for name, data in RESPONSES:
        print(f"response: {name:27}{best(lambda data=data: parse_response_head(data, 0, len(data))):6.2f}")  # type: ignore[misc]
    part = BROWSER[:-4]
    print(f"unfinished head, {len(part)} bytes           {best(lambda: check_partial_head(part, 65536)):6.2f}")
    wire = chunk(bytes(64)) * 64 + last_chunk(b"")
    print(f"64 chunks of 64 bytes                {best(lambda: read_chunks(wire), 50):6.2f}")


if __name__ == "__main__":
    main()
