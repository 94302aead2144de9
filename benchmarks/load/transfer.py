"""The load generator for bodies of hundreds of MiB: `python -m benchmarks.load.transfer PORT METHOD PATH ...`.

Whole transfers, one after another on each kept-alive connection; those under way when the time is over are finished,
so every byte counted belongs to a response. Bodies are sent from the page cache and dropped in the kernel: the client
costs next to nothing beside what is measured. The result is the line that `measure.parse_result` reads.
"""

import json
import os
import socket
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.load import measure, wire


@dataclass(slots=True)
class Tally:
    """What all connections did together. Times in microseconds."""

    times: list[float] = field(default_factory=list)
    bytes: int = 0
    non_2xx: int = 0
    errors: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def send_file(connection: socket.socket, file: Path) -> None:
    """The whole file. Raises OSError when the peer stops taking it."""
    size = file.stat().st_size
    with file.open("rb") as body:
        sent = 0
        while sent < size:
            sent += os.sendfile(connection.fileno(), body.fileno(), sent, size - sent)


def transfers(port: int, method: str, path: str, body: Path | None, deadline: float, tally: Tally) -> None:
    """One connection's transfers, until the deadline has passed or something is wrong."""
    length = body.stat().st_size if body else 0
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {length}\r\n\r\n".encode()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.settimeout(None)
            while time.monotonic() < deadline:
                begun = time.monotonic()
                connection.sendall(head if body else wire.get(port, path))
                if body:
                    send_file(connection, body)
                answer = wire.read_head(connection)
                if answer is None:
                    raise ConnectionError("closed without an answer")
                wire.discard(connection, answer.length - len(answer.rest))
                with tally.lock:
                    tally.times.append((time.monotonic() - begun) * 1e6)
                    tally.bytes += answer.length + length
                    tally.non_2xx += not 200 <= answer.status < 300
    except OSError as error:
        print(f"transfer: {error}", file=sys.stderr)
        with tally.lock:
            tally.errors += 1


def run(port: int, method: str, path: str, body: Path | None, connections: int, seconds: float) -> measure.Load:
    """Every connection is a thread: they wait in the kernel, where Python's lock is not held."""
    tally = Tally()
    begun = time.monotonic()
    threads = [
        threading.Thread(target=transfers, args=(port, method, path, body, begun + seconds, tally))
        for _ in range(connections)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times = sorted(tally.times)
    return measure.Load(
        requests=len(times),
        seconds=time.monotonic() - begun,
        bytes=tally.bytes,
        non_2xx=tally.non_2xx,
        socket_errors=tally.errors,
        p50_us=measure.percentile(times, 50),
        p99_us=measure.percentile(times, 99),
        p999_us=measure.percentile(times, 99.9),
    )


if __name__ == "__main__":
    _port, _method, _path, _body, _connections, _seconds = sys.argv[1:]
    done = run(int(_port), _method, _path, Path(_body) if _body else None, int(_connections), float(_seconds))
    print(measure.RESULT + json.dumps(asdict(done)))
