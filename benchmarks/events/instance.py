"""An instance of the service under load: `python -m benchmarks.events.instance NAME LATENCY HOST:PORT...`.

It answers every request after LATENCY seconds and keeps the time at which each arrived; `/health` and what begins with
`/_` are answered at once and not counted:

    /_health?503     what /health answers from now on
    /_seen           JSON: times (CLOCK_MONOTONIC) at which requests arrived since the last time this was asked

Prints `listening` as its first line; ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time


class _State:
    def __init__(self, name: str, latency: float) -> None:
        self.latency = latency
        self.health = 200
        self.seen: list[float] = []
        self.body = f"{name}\n".encode()


class _Connection(asyncio.Protocol):
    """Requests are answered in order: nobody here pipelines."""

    transport: asyncio.Transport

    def __init__(self, state: _State) -> None:
        self.state = state
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"\r\ncontent-length:")
            length = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            target = self.buffer[:end].split(b" ", 2)[1]
            self.buffer = self.buffer[end + 4 + length :]
            self.answer(target)

    def answer(self, target: bytes) -> None:
        state = self.state
        if target == b"/health":
            self.send(state.health, b"health\n")
        elif target.startswith(b"/_health?"):
            state.health = int(target.partition(b"?")[2])
            self.send(200, b"")
        elif target == b"/_seen":
            seen, state.seen = state.seen, []
            self.send(200, json.dumps(seen).encode())
        else:
            state.seen.append(time.monotonic())
            if state.latency:
                asyncio.get_running_loop().call_later(state.latency, self.send, 200, state.body)
            else:
                self.send(200, state.body)

    def send(self, status: int, body: bytes) -> None:
        self.transport.write(b"HTTP/1.1 %d -\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))


async def _main(name: str, latency: float, addresses: list[str]) -> None:
    state = _State(name, latency)
    loop = asyncio.get_running_loop()
    for address in addresses:
        host, _, port = address.rpartition(":")
        await loop.create_server(lambda: _Connection(state), host, int(port), backlog=1024)
    over = asyncio.Event()

    def on_stdin() -> None:
        if not os.read(0, 4096):
            over.set()

    loop.add_reader(0, on_stdin)
    print("listening", flush=True)
    await over.wait()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], float(sys.argv[2]), sys.argv[3:]))
