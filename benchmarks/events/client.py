"""A steady load of small requests: `python -m benchmarks.events.client PORT RATE`.

Four kinds, each with its share of the rate: GET and POST on kept connections, GET and POST with a new connection for
each request. Every connection sends at its own times; one that waits for an answer sends nothing, so what hangs slows
down its own connection alone. No request is ever sent twice: what gets no whole answer with status 200 is a failure,
kept with its time and its cause. A kept connection that the other side closed between two requests is opened anew;
if it closes after a request was sent, that request has failed.

Prints `started` once the first answers are there, and at the end of its standard input the report, as JSON (`Report`).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field

# Seconds for a request and its connection: more than any promise of the gateway, so that its own end shows.
TIMEOUT = 30.0
REFUSED = "connection refused: nobody listens"
KINDS = {  # kind: share of the rate, connections
    "GET": (0.70, 28),
    "POST": (0.10, 6),
    "GET, new connection": (0.15, 8),
    "POST, new connection": (0.05, 3),
}
BODY = b"x" * 100


@dataclass(slots=True)
class Report:
    """What a load saw. Times are of CLOCK_MONOTONIC, in seconds."""

    sent: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))  # by kind
    failures: list[tuple[float, float, str, str]] = field(default_factory=list)  # sent, failed, kind, cause
    latencies: list[float] = field(default_factory=list)  # of answered requests


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def message(kind: str, port: int) -> bytes:
    """The bytes of a request of a kind."""
    method = kind.split(",")[0]
    head = f"{method} /load HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
    if "new" in kind:
        head += "Connection: close\r\n"
    if method == "POST":
        return f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY
    return f"{head}\r\n".encode()


def cause_of(status: int, body: bytes) -> str:
    """A failure in words: the status, and the gateway's reason if it gives one."""
    try:
        said = json.loads(body)
        return f"{status} {said['reason']}"
    except (ValueError, KeyError, TypeError):
        return str(status)


async def exchange(streams: Streams, request: bytes) -> tuple[str, bool]:
    """Send a request and read its answer: why it is none ("": it is), and whether the connection stays.

    Raises OSError and asyncio.IncompleteReadError."""
    reader, writer = streams
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    fields = head.lower()
    at = fields.find(b"\r\ncontent-length:")
    body = await reader.readexactly(int(fields[at + 17 :].split(b"\r\n", 1)[0])) if at >= 0 else b""
    status = int(head[9:12])
    return ("" if status == 200 else cause_of(status, body)), at >= 0 and b"\r\nconnection: close" not in fields


class Client:
    """All connections together."""

    def __init__(self, port: int, rate: float) -> None:
        self.report = Report()
        self.is_stopping = asyncio.Event()
        self.has_answers = asyncio.Event()
        self._port = port
        self._rate = rate

    async def run(self) -> None:
        """Until `is_stopping`, and until every request under way has its end."""
        async with asyncio.TaskGroup() as group:
            for kind, (share, connections) in KINDS.items():
                interval = connections / (self._rate * share)
                for number in range(connections):
                    group.create_task(self._keep(kind, interval, number / connections * interval))

    async def _keep(self, kind: str, interval: float, delay: float) -> None:
        request = message(kind, self._port)
        streams: Streams | None = None
        at = time.monotonic() + delay
        while not await self._sleep_until(at):
            if streams is not None and streams[0].at_eof():
                streams[1].close()
                streams = None
            streams = await self._send(kind, request, streams)
            at = max(at + interval, time.monotonic())
        if streams is not None:
            streams[1].close()

    async def _sleep_until(self, at: float) -> bool:
        """True if the load is to end."""
        if (left := at - time.monotonic()) > 0:
            await asyncio.sleep(left)
        return self.is_stopping.is_set()

    async def _send(self, kind: str, request: bytes, streams: Streams | None) -> Streams | None:
        """One request; the connection, if it is kept."""
        began, was_used, stays = time.monotonic(), streams is not None, False
        self.report.sent[kind] += 1
        try:
            async with asyncio.timeout(TIMEOUT):
                if streams is None:
                    streams = await asyncio.open_connection("127.0.0.1", self._port)
                cause, stays = await exchange(streams, request)
        except TimeoutError:
            cause = f"no answer within {TIMEOUT:g} s"
        except ConnectionRefusedError:
            cause = REFUSED
        except (OSError, asyncio.IncompleteReadError) as error:
            cause = f"{'kept' if was_used else 'new'} connection lost: {type(error).__name__}"
        if cause:
            self.report.failures.append((began, time.monotonic(), kind, cause))
        else:
            self.report.latencies.append(time.monotonic() - began)
            self.has_answers.set()
        if streams is not None and not stays:
            streams[1].close()
        return streams if stays else None


async def _main(port: int, rate: float) -> None:
    client = Client(port, rate)
    loop = asyncio.get_running_loop()

    def on_stdin() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            client.is_stopping.set()

    loop.add_reader(0, on_stdin)
    running = loop.create_task(client.run())
    await client.has_answers.wait()
    print("started", flush=True)
    await running
    print(json.dumps(asdict(client.report)), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), float(sys.argv[2])))
