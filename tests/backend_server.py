"""The process behind `tests.backends.Backend`: an HTTP/1.1 server for tests, on asyncio and httptools.

Prints its port as its first line and ends when its standard input does. Requests on one connection are answered in
order. `/health` and the paths that begin with `/_` are not delayed by `latency`. Paths:

    /health                  status set by the control path
    /_control?health=503     POST; any of health, latency, health_latency; answers the state as JSON
    /_stats                  counters as JSON
    /status/CODE             that status
    /bytes/N                 N bytes with Content-Length
    /stream/N?size=&interval= N chunks, chunked, `interval` seconds apart
    /delay/SECONDS           an echo, after that time
    /hang  /close  /reset    never answers; closes; resets, without an answer
    /truncate/N              promises N bytes, sends half of them and closes
    anything else            an echo: JSON of method, target, headers, body_bytes, body_sha256, trailers, name

A request with `Upgrade:` for /upgrade gets 101, and from then on its own bytes back.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import socket
import struct
import sys
import time
from collections import Counter, deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

import httptools

REASONS = {int(status): status.phrase for status in HTTPStatus}
PIECE = b"0123456789abcdef" * 4096


@dataclass(slots=True)
class State:
    name: str
    latency: float
    health: int
    health_latency: float = 0.0
    connections: int = 0
    connections_open: int = 0
    requests: int = 0
    slow_now: int = 0  # answers that take time, under way
    slow_most: int = 0  # the most of them at once
    health_checks: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0  # of bodies of /bytes, handed to the transport
    first_request_at: float = 0.0  # CLOCK_MONOTONIC, here and below: without /health; 0.0: never
    last_request_at: float = 0.0
    first_health_check_at: float = 0.0
    paths: Counter[str] = field(default_factory=Counter)


class Request:
    __slots__ = (
        "body_bytes",
        "digest",
        "headers",
        "is_keep_alive",
        "method",
        "target",
        "trailers",
        "upgrade",
        "version",
    )

    def __init__(self) -> None:
        self.method = b""
        self.target = b""
        self.version = "1.1"
        self.headers: list[tuple[str, str]] = []
        self.trailers: list[tuple[str, str]] = []
        self.body_bytes = 0
        self.digest = hashlib.sha256()
        self.is_keep_alive = True
        self.upgrade = False


class Server(asyncio.Protocol):
    """One connection."""

    transport: asyncio.Transport

    def __init__(self, state: State) -> None:
        self.state = state
        self.parser = httptools.HttpRequestParser(self)
        self.request = Request()
        self.in_headers = True
        self.waiting: deque[Request] = deque()
        self.answering: asyncio.Task[None] | None = None
        self.writable = asyncio.Event()
        self.writable.set()
        self.is_tunnel = False

    # transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.state.connections += 1
        self.state.connections_open += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.state.connections_open -= 1
        if self.answering is not None:
            self.answering.cancel()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        if self.is_tunnel:
            self.transport.write(data)
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.parser = httptools.HttpRequestParser(self)  # the old one parses no more
            if rest := data[upgrade.args[0] :]:
                self.data_received(rest)
        except httptools.HttpParserError:
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()

    # parser

    def on_message_begin(self) -> None:
        self.request = Request()
        self.in_headers = True

    def on_url(self, url: bytes) -> None:
        self.request.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        fields = self.request.headers if self.in_headers else self.request.trailers
        fields.append((name.decode("latin-1"), value.decode("latin-1")))
        if name.lower() == b"expect" and value.lower() == b"100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_headers_complete(self) -> None:
        self.in_headers = False
        self.request.method = self.parser.get_method()
        self.request.version = self.parser.get_http_version()
        self.request.upgrade = self.parser.should_upgrade()

    def on_body(self, body: bytes) -> None:
        self.request.body_bytes += len(body)
        self.request.digest.update(body)
        self.state.bytes_received += len(body)

    def on_message_complete(self) -> None:
        request = self.request
        request.is_keep_alive = self.parser.should_keep_alive()
        if request.upgrade and request.target.startswith(b"/upgrade"):
            self.is_tunnel = True
            self.transport.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n")
            return
        self.waiting.append(request)
        if self.answering is None:
            self.pump()

    # answers

    def pump(self) -> None:
        """Answer what waits, until one answer takes time."""
        while self.waiting and not self.transport.is_closing():
            request = self.waiting.popleft()
            slow = self.answer(request)
            if slow is not None:
                self.answering = asyncio.get_running_loop().create_task(slow)
                self.answering.add_done_callback(self.answered)
                return

    def answered(self, task: asyncio.Task[None]) -> None:
        self.answering = None
        if not task.cancelled():
            task.result()
            self.pump()

    def answer(self, request: Request) -> Any:  # a coroutine where the answer takes time
        state = self.state
        path, _, query = request.target.decode("latin-1").partition("?")
        if path == "/health":
            state.health_checks += 1
            state.first_health_check_at = state.first_health_check_at or time.monotonic()
            if state.health_latency:
                return self.later(state.health_latency, request, b"health\n", state.health)
            return self.send(request, b"health\n", state.health)
        if path == "/_control":
            return self.send(request, self.control(query))
        if path == "/_stats":
            return self.send(request, self.stats())
        state.requests += 1
        state.last_request_at = time.monotonic()
        state.first_request_at = state.first_request_at or state.last_request_at
        state.paths[path] += 1
        _, first, *rest = path.split("/")
        argument = rest[0] if rest else ""
        if first in SLOW or (state.latency and first not in FAST):
            return self.count_slow(self.slow(request, first, argument, query))
        if first == "status" and argument:
            return self.send(request, b"", int(argument))
        if first == "close":
            return self.transport.close()
        if first == "reset":
            return self.reset()
        return self.send(request, self.echo(request))

    async def count_slow(self, answer: Coroutine[None, None, None]) -> None:
        self.state.slow_now += 1
        self.state.slow_most = max(self.state.slow_most, self.state.slow_now)
        try:
            await answer
        finally:
            self.state.slow_now -= 1

    async def slow(self, request: Request, first: str, argument: str, query: str) -> None:
        if self.state.latency:
            await asyncio.sleep(self.state.latency)
        if first == "delay":
            await asyncio.sleep(float(argument))
            self.send(request, self.echo(request))
        elif first == "hang":
            await asyncio.Event().wait()
        elif first == "bytes":
            await self.send_bytes(request, int(argument), int(argument))
        elif first == "truncate":
            await self.send_bytes(request, int(argument), int(argument) // 2)
            self.transport.close()
        elif first == "stream":
            options = parse_qs(query)
            size, interval = int(options.get("size", ["16"])[0]), float(options.get("interval", ["0"])[0])
            await self.send_stream(request, int(argument), size, interval)
        elif first == "status" and argument:
            self.send(request, b"", int(argument))
        else:
            self.send(request, self.echo(request))

    async def later(self, delay: float, request: Request, body: bytes, status: int) -> None:
        await asyncio.sleep(delay)
        self.send(request, body, status)

    def send(self, request: Request, body: bytes, status: int = 200) -> None:
        kind = b"application/json" if body[:1] == b"{" else b"text/plain"
        has_body = status >= 200 and status not in (204, 304)
        length = b"content-length: %d\r\n" % len(body) if has_body else b""
        self.transport.write(
            self.head(status, request, b"content-type: " + kind + b"\r\n" + length)
            + (body if has_body and request.method != b"HEAD" else b"")
        )
        self.end(request)

    async def send_bytes(self, request: Request, promised: int, sent: int) -> None:
        self.transport.write(self.head(200, request, b"content-length: %d\r\n" % promised))
        if request.method != b"HEAD":
            while sent > 0:
                self.transport.write(PIECE[:sent])
                self.state.bytes_sent += min(sent, len(PIECE))
                sent -= len(PIECE)
                await self.writable.wait()
        self.end(request)

    async def send_stream(self, request: Request, chunks: int, size: int, interval: float) -> None:
        is_chunked = request.version == "1.1"
        self.transport.write(self.head(200, request, b"transfer-encoding: chunked\r\n" if is_chunked else b""))
        if request.method != b"HEAD":
            data = (PIECE * (size // len(PIECE) + 1))[:size]
            piece = b"%x\r\n%s\r\n" % (size, data) if is_chunked else data
            for _ in range(chunks):
                if interval:
                    await asyncio.sleep(interval)
                self.transport.write(piece)
                await self.writable.wait()
            self.transport.write(b"0\r\n\r\n" if is_chunked else b"")
        if not is_chunked:
            self.transport.close()
        self.end(request)

    def head(self, status: int, request: Request, fields: bytes) -> bytes:
        connection = b"" if request.is_keep_alive and request.version == "1.1" else b"connection: close\r\n"
        if request.is_keep_alive and request.version == "1.0":
            connection = b"connection: keep-alive\r\n"
        reason = REASONS.get(status, "Status").encode()
        name = self.state.name.encode()
        return b"HTTP/1.1 %d %s\r\nx-backend: %s\r\n%s%s\r\n" % (status, reason, name, fields, connection)

    def end(self, request: Request) -> None:
        if not request.is_keep_alive:
            self.transport.close()

    def reset(self) -> None:
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def echo(self, request: Request) -> bytes:
        return json.dumps(
            {
                "name": self.state.name,
                "method": request.method.decode("latin-1"),
                "target": request.target.decode("latin-1"),
                "version": request.version,
                "headers": request.headers,
                "trailers": request.trailers,
                "body_bytes": request.body_bytes,
                "body_sha256": request.digest.hexdigest(),
            }
        ).encode()

    def stats(self) -> bytes:
        state = self.state
        return json.dumps(
            {
                "name": state.name,
                "connections": state.connections,
                "connections_open": state.connections_open,
                "requests": state.requests,
                "slow_most": state.slow_most,
                "health_checks": state.health_checks,
                "bytes_received": state.bytes_received,
                "bytes_sent": state.bytes_sent,
                "first_request_at": state.first_request_at,
                "last_request_at": state.last_request_at,
                "first_health_check_at": state.first_health_check_at,
                "paths": state.paths,
            }
        ).encode()

    def control(self, query: str) -> bytes:
        options = {name: values[-1] for name, values in parse_qs(query).items()}
        self.state.health = int(options.get("health", self.state.health))
        self.state.latency = float(options.get("latency", self.state.latency))
        self.state.health_latency = float(options.get("health_latency", self.state.health_latency))
        return json.dumps(
            {
                "health": self.state.health,
                "latency": self.state.latency,
                "health_latency": self.state.health_latency,
            }
        ).encode()


SLOW = frozenset({"delay", "hang", "bytes", "truncate", "stream"})
FAST = frozenset({"close", "reset"})


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--name", default="backend")
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--health", type=int, default=200)
    options = parser.parse_args()
    state = State(name=options.name, latency=options.latency, health=options.health)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Server(state), "127.0.0.1", options.port, backlog=2048)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    loop.add_reader(0, lambda: None if os.read(0, 4096) else ended.set())
    await ended.wait()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(130)
