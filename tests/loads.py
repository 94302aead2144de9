"""A load of HTTP/1.1 requests for tests: keep-alive connections in a closed loop, in a process of their own.

    with start_load(gateway.listen, "/users/1", connections=32) as load:
        load.wait_for(500)                # 500 more answers have come
        backend.kill()
        report = load.stop()              # or load.wait(), where `requests` bounds it
    assert report.failures == ()

Every connection sends a request, reads the answer whole and sends the next. What is not a whole answer
of the expected status is a `Failure` with its cause, and the connection is opened anew. An answer that announces
`Connection: close` is none. Times are of CLOCK_MONOTONIC, the same in all processes of the machine.

Run as a script it is that process: JSON options as its argument, a line of progress now and then, the report as its
last line; it ends when its standard input does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any

PROGRESS_SECONDS = 0.005
REPORT_DEADLINE = 60.0  # seconds from `stop` or the last request to the report
MOST_FAILURES = 1000  # kept one by one; `failed` counts them all
_CLOSED = "closed before a whole answer"


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that got no whole answer of the expected status."""

    at: float  # when it was sent
    seconds: float  # until it failed
    cause: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a load saw."""

    requests: int  # answered as expected
    failed: int
    seconds: float
    statuses: dict[int, int]
    instances: dict[str, int]  # by x-backend
    first_seen: dict[str, float]  # by x-backend: when the first answer of it came
    last_sent: dict[str, float]  # by x-backend: when the last request that it answered was sent
    failures: tuple[Failure, ...]
    latencies: tuple[float, ...]  # seconds, sorted; of requests answered as expected, a reconnect before included
    slowest_at: float  # when the slowest of them was sent

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.requests / self.seconds

    def percentile(self, percent: float) -> float:
        """Seconds."""
        return self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * percent / 100))]

    def causes(self) -> dict[str, int]:
        """How often which cause failed a request."""
        return dict(Counter(failure.cause for failure in self.failures))

    def summary(self) -> str:
        """One line for a person."""
        times = (
            "/".join(f"{self.percentile(percent) * 1000:.1f}" for percent in (50, 99, 100)) if self.latencies else "-"
        )
        return (
            f"{self.requests} answered, {self.failed} failed {self.causes()} in {self.seconds:.2f} s "
            f"({self.rate:.0f}/s), p50/p99/max {times} ms, {self.statuses} {self.instances}"
        )


class Load:
    """One load under way. Use `start_load`."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        self._answered = 0
        self._report: Report | None = None
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Load:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def answered(self) -> int:
        """Requests answered as expected so far, some milliseconds ago."""
        return self._answered

    def wait_for(self, more: int, deadline: float = 30.0) -> None:
        """Return once `more` requests were answered since the call."""
        wanted = self._answered + more
        with self._news:
            if not self._news.wait_for(lambda: self._answered >= wanted or self._report is not None, deadline):
                raise AssertionError(f"the load stands at {self._answered} answers, {wanted} were awaited")

    def stop(self) -> Report:
        """Let every connection finish its request, and report."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        return self.wait()

    def wait(self, deadline: float = REPORT_DEADLINE) -> Report:
        """The report, once the load has ended."""
        with self._news:
            if not self._news.wait_for(lambda: self._report is not None or not self._reader.is_alive(), deadline):
                raise AssertionError(f"the load did not end within {deadline} s")
        assert self._report is not None, "the load ended without a report"
        return self._report

    def close(self) -> None:
        """End the process, if it runs."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._news:
                if line.startswith("{"):
                    found = json.loads(line)
                    self._report = Report(
                        **{
                            **found,
                            "statuses": {int(status): count for status, count in found["statuses"].items()},
                            "failures": tuple(Failure(**failure) for failure in found["failures"]),
                            "latencies": tuple(found["latencies"]),
                        }
                    )
                else:
                    self._answered = int(line)
                self._news.notify_all()
        with self._news:
            self._news.notify_all()


def start_load(
    address: str,
    target: str = "/",
    *,
    connections: int = 32,
    requests: int = 0,
    method: str = "GET",
    headers: tuple[tuple[str, str], ...] = (),
    body: int = 0,
    expect: tuple[int, ...] = (200,),
    timeout: float = 20.0,
) -> Load:
    """A load on `address` (host:port), until stopped or `requests` were sent.

    `body`: bytes of a request body. `timeout`: seconds for one request, past it it has failed.
    """
    options = {
        "address": address,
        "target": target,
        "connections": connections,
        "requests": requests,
        "method": method,
        "headers": list(headers),
        "body": body,
        "expect": list(expect),
        "timeout": timeout,
    }
    return Load(options)


def tell(what: str, figure: object) -> None:
    """Print a figure for whoever wants to see it (pytest -rP) or has to (a test that failed)."""
    sys.stdout.write(f"{what}: {figure}\n")


# --- the process ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Tally:
    started: float
    requests: int = 0
    failed: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    instances: dict[str, int] = field(default_factory=dict)
    first_seen: dict[str, float] = field(default_factory=dict)
    last_sent: dict[str, float] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    slowest: float = 0.0
    slowest_at: float = 0.0


class _Load:
    """All connections together."""

    def __init__(self, options: dict[str, Any]) -> None:
        host, _, port = options["address"].rpartition(":")
        self.address = (host.strip("[]"), int(port))
        fields = [("Host", options["address"]), *options["headers"]]
        size = options["body"]
        if size or options["method"] in ("POST", "PUT"):
            fields.append(("Content-Length", str(size)))
        head = f"{options['method']} {options['target']} HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in fields)
        self.message = head.encode() + b"\r\n" + b"x" * size
        self.expect = frozenset(options["expect"])
        self.timeout: float = options["timeout"]
        self.left: int = options["requests"] or sys.maxsize
        self.is_stopping = False
        self.tally = _Tally(time.monotonic())

    def take(self) -> bool:
        """May one more request be sent?"""
        if self.is_stopping or not self.left:
            return False
        self.left -= 1
        return True

    def fail(self, sent: float, cause: str) -> None:
        tally = self.tally
        tally.failed += 1
        if len(tally.failures) < MOST_FAILURES:
            tally.failures.append(Failure(sent, time.monotonic() - sent, cause))

    def succeed(self, sent: float, status: int, instance: str) -> None:
        tally = self.tally
        now = time.monotonic()
        tally.requests += 1
        tally.instances[instance] = tally.instances.get(instance, 0) + 1
        tally.first_seen.setdefault(instance, now)
        tally.last_sent[instance] = max(sent, tally.last_sent.get(instance, sent))
        tally.latencies.append(now - sent)
        if now - sent > tally.slowest:
            tally.slowest, tally.slowest_at = now - sent, sent

    def report(self) -> str:
        found = asdict(self.tally)
        del found["slowest"]
        found["seconds"] = time.monotonic() - found.pop("started")
        found["latencies"].sort()
        return json.dumps(found)


class _Connection(asyncio.Protocol):
    """One connection at a time; a new one when it is lost."""

    transport: asyncio.Transport

    def __init__(self, load: _Load, over: asyncio.Event) -> None:
        self.load = load
        self.over = over  # this connection is lost or done
        self.buffer = b""
        self.sent = 0.0
        self.is_waiting = False
        self.is_connected = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.is_connected = True
        self.transport.write(self.load.message)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        lines = self.buffer[:end].decode("latin-1").split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:])
        status = int(lines[0].split(" ", 2)[1])
        whole = end + 4 + int(fields.get("content-length", "0"))
        if len(self.buffer) < whole:
            return
        body, self.buffer = self.buffer[end + 4 : whole], self.buffer[whole:]
        self.finish(status, fields, body)

    def finish(self, status: int, fields: dict[str, str], body: bytes) -> None:
        load = self.load
        self.is_waiting = False
        load.tally.statuses[status] = load.tally.statuses.get(status, 0) + 1
        if self.buffer:
            load.fail(self.sent, "bytes after the answer")
            self.transport.abort()
            return
        if status not in load.expect:
            reason = json.loads(body).get("reason", "") if body.startswith(b"{") else ""
            load.fail(self.sent, f"status {status} {reason}".strip())
        else:
            load.succeed(self.sent, status, fields.get("x-backend", ""))
        if fields.get("connection") == "close" or not load.take():
            self.transport.close()
            return
        self.sent = time.monotonic()
        self.is_waiting = True
        self.transport.write(load.message)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.is_waiting:
            self.is_waiting = False
            self.load.fail(self.sent, type(exc).__name__ if exc else _CLOSED)
        self.over.set()


async def _keep(load: _Load) -> None:
    """One place of a connection: connects again whenever the connection is over and requests are left."""
    loop = asyncio.get_running_loop()
    while load.take():
        over = asyncio.Event()
        connection = _Connection(load, over)
        connection.sent = time.monotonic()
        connection.is_waiting = True
        try:
            await loop.create_connection(lambda made=connection: made, *load.address)  # type: ignore[misc]
        except OSError as error:
            load.fail(connection.sent, f"connect: {type(error).__name__}")
            await asyncio.sleep(0.02)  # not a busy loop while nobody listens
            continue
        while not over.is_set():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(over.wait(), 0.1 if load.is_stopping else 1.0)
            if connection.is_waiting and time.monotonic() - connection.sent > load.timeout:
                connection.is_waiting = False
                load.fail(connection.sent, f"no answer within {load.timeout} s")
                connection.transport.abort()


async def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("options", type=json.loads)
    options = parser.parse_args().options
    load = _Load(options)
    loop = asyncio.get_running_loop()

    def on_stdin() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            load.is_stopping = True

    loop.add_reader(0, on_stdin)
    keepers = [loop.create_task(_keep(load)) for _ in range(options["connections"])]
    said = -1
    while any(not keeper.done() for keeper in keepers):
        await asyncio.wait(keepers, timeout=PROGRESS_SECONDS)
        if load.tally.requests != said:
            said = load.tally.requests
            sys.stdout.write(f"{said}\n")
            sys.stdout.flush()
    for keeper in keepers:
        keeper.result()
    sys.stdout.write(load.report() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_main())
