"""The instances behind every peer: one nginx that listens on many ports, and for uploads the `sink`."""

import contextlib
import functools
import hashlib
import http.client
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.configs import nginx_temp_paths, nginx_user
from benchmarks.load.processes import free_ports, process, wait_until
from benchmarks.load.sink import ECHOED
from benchmarks.load.workloads import HUGE, SIZES, SMALL, Workload

START_TIME = 20.0
"""Seconds that any process of the comparison has to answer."""
ECHO = "/echo"
"""Path under which an instance answers with what it received, one `name=value` a line."""

_BLOCK = 1_000_003  # prime: a body whose pieces changed places is not the same body


def body_of(size: int) -> bytes:
    """What an instance answers for a size; also what is uploaded."""
    if size <= SMALL:
        return b"x" * size
    block = random.Random(size).randbytes(min(size, _BLOCK))
    return (block * (size // len(block) + 1))[:size]


@functools.cache
def digest_of(size: int) -> str:
    """SHA-256 of that body."""
    return hashlib.sha256(body_of(size)).hexdigest()


@dataclass(frozen=True, slots=True)
class Upstreams:
    """Running instances."""

    serving: tuple[int, ...]
    """Ports that answer with bodies."""
    reading: tuple[int, ...]
    """Ports that read uploads; empty when there are none to read."""
    upload: Path
    """A body of the largest size, to be sent."""
    pids: tuple[int, ...]

    def ports(self, workload: Workload) -> tuple[int, ...]:
        """The instances that a workload is balanced over."""
        return (self.reading if workload.is_upload else self.serving)[: workload.instances]


def answers(port: int, path: str) -> bool:
    """Whether a GET is answered 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _nginx(folder: Path, files: Path, ports: Sequence[int], prefixes: Sequence[str]) -> str:
    listens = "\n".join(f"        listen 127.0.0.1:{port} backlog=4096;" for port in ports)
    variables = {name: "http_" + field.lower().replace("-", "_") for name, field in ECHOED.items()}
    variables |= {"port": "server_port", "served": "connection_requests"}
    echo = "\\n".join(f"{name}=${variable}" for name, variable in variables.items())
    small = body_of(SMALL).decode()
    # Small bodies come from the configuration, the others from the page cache.
    locations = "\n".join(
        f'        location = {prefix}/{SMALL} {{ return 200 "{small}"; }}\n'
        f'        location = {prefix}{ECHO} {{ return 200 "{echo}"; }}'
        for prefix in prefixes
    )
    return f"""{nginx_user()}worker_processes 1;
pid {folder}/upstream.pid;
error_log {folder}/upstream.log warn;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
    access_log off;
{nginx_temp_paths(folder)}    keepalive_requests 100000000;
    sendfile on;
    tcp_nopush on;
    open_file_cache max=16 inactive=1h;
    client_body_buffer_size 64k;
    server {{
{listens}
        root {files};
        location = /health {{ return 200 "ok"; }}
{locations}
    }}
}}
"""


@contextlib.contextmanager
def upstreams(folder: Path, core_list: str, workloads: Sequence[Workload]) -> Iterator[Upstreams]:
    """Starts what the workloads need. Raises RuntimeError when one of the instances does not answer."""
    files = folder / "files"
    files.mkdir(parents=True)
    wanted = {workload.response_bytes for workload in workloads} | {workload.request_bytes for workload in workloads}
    for size in wanted & {*SIZES, HUGE} - {SMALL}:
        (files / str(size)).write_bytes(body_of(size))
    serving = free_ports(max(workload.instances for workload in workloads))
    reading = free_ports(3) if any(workload.is_upload for workload in workloads) else ()
    prefixes = sorted({workload.prefix for workload in workloads} | {""})
    file = folder / "upstream.conf"
    file.write_text(_nginx(folder, files, serving, prefixes))
    commands = [["nginx", "-p", str(folder), "-c", str(file), "-g", "daemon off;"]]
    if reading:
        commands.append([sys.executable, "-m", "benchmarks.load.sink", *map(str, reading)])
    with contextlib.ExitStack() as stack:
        output = folder / "upstream.out"
        started = [stack.enter_context(process(command, core_list, output)) for command in commands]
        for port in serving + reading:
            if not wait_until(functools.partial(answers, port, f"/{SMALL}"), START_TIME):
                raise RuntimeError(f"the upstream on port {port} did not start: {output.read_text()[-500:]}")
        yield Upstreams(serving, reading, files / str(HUGE), tuple(each.pid for each in started))
