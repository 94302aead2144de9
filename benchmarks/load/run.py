"""Runs one cell of the comparison: a peer, started fresh, under one workload. Processes and files; no judging.

Proxies are pinned to the first core or cores, load generator and upstream to the rest, so that what the load costs is
not counted to the proxy. All addresses are loopback, every load ends by itself, every process is ended by its pid.
"""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.load import check, measure
from benchmarks.load.peers import Peer, Place, nginx_temp_paths, nginx_user
from benchmarks.load.workloads import SIZES, SMALL, Workload

INSTANCES = 3
START_TIME = 20.0
"""Seconds a peer has to answer through all its instances."""
STOP_TIME = 10.0
LOG_TIME = 5.0
"""Seconds for the last log lines to reach the file: buffers are flushed within one."""
WARM_UP = 1


@dataclass(frozen=True, slots=True)
class Cell:
    """What one peer did under one workload in one round. `problems` not empty: it counts for nothing."""

    peer: str
    workload: str
    workers: int
    round: int
    cpu_us: float
    """CPU microseconds of the whole process tree per request."""
    cpu_share: float
    """Cores kept busy."""
    load: measure.Load | None
    memory: measure.Memory
    log_lines: int
    problems: tuple[str, ...]


def free_ports(count: int) -> tuple[int, ...]:
    """Ports nobody listened on a moment ago, all different."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return tuple(each.getsockname()[1] for each in sockets)


def cores(workers: int) -> tuple[str, str]:
    """Core lists for taskset: the proxy's, and everybody else's. At least one core is left to the load."""
    usable = sorted(os.sched_getaffinity(0))
    split = max(1, min(workers, len(usable) - 1))
    return ",".join(map(str, usable[:split])), ",".join(map(str, usable[split:] or usable))


def wait_until(condition: Callable[[], bool], timeout: float) -> bool:
    """Looks every 50 ms; False when the time is over."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@contextlib.contextmanager
def process(
    command: list[str],
    core_list: str,
    output: Path,
    stdout: Path | None = None,
    environment: dict[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A pinned process, ended by SIGTERM, or SIGKILL to what is left of its tree when it does not listen."""
    with output.open("ab") as errors, (stdout or output).open("ab") as printed:
        started = subprocess.Popen(
            ["taskset", "-c", core_list, *command],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=errors,
            env={**os.environ, **(environment or {})},
        )
    try:
        yield started
    finally:
        members = measure.tree(started.pid)
        started.send_signal(signal.SIGTERM)
        if not wait_until(lambda: started.poll() is not None, STOP_TIME):
            for pid in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            started.wait()


def body_of(size: int) -> bytes:
    """What the upstream answers for a size."""
    return b"x" * size


@contextlib.contextmanager
def upstreams(folder: Path, core_list: str) -> Iterator[tuple[int, ...]]:
    """One nginx on several ports, each an instance: small bodies from its configuration, the others from page cache."""
    ports = free_ports(INSTANCES)
    files = folder / "files"
    files.mkdir(parents=True)
    for size in SIZES:
        if size != SMALL:
            (files / str(size)).write_bytes(body_of(size))
    listens = "\n".join(f"        listen 127.0.0.1:{port} backlog=4096;" for port in ports)
    echo = "\\n".join(
        f"{name}=${variable}"
        for name, variable in (
            ("for", "http_x_forwarded_for"),
            ("proto", "http_x_forwarded_proto"),
            ("forwarded_host", "http_x_forwarded_host"),
            ("host", "http_host"),
            ("request_id", "http_x_request_id"),
            ("port", "server_port"),
        )
    )
    file = folder / "upstream.conf"
    file.write_text(f"""{nginx_user()}worker_processes 1;
pid {folder}/upstream.pid;
error_log {folder}/upstream.log warn;
worker_rlimit_nofile 16384;
events {{ worker_connections 4096; }}
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
        location = /{SMALL} {{ return 200 "{body_of(SMALL).decode()}"; }}
        location = /health {{ return 200 "ok"; }}
        location = {check.ECHO} {{ return 200 "{echo}"; }}
    }}
}}
""")
    with process(
        ["nginx", "-p", str(folder), "-c", str(file), "-g", "daemon off;"], core_list, folder / "upstream.out"
    ):
        if not wait_until(lambda: all(_answers(port) for port in ports), START_TIME):
            raise RuntimeError(f"the upstream did not start: {(folder / 'upstream.log').read_text()[-500:]}")
        yield ports


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", f"/{SMALL}")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def run_wrk(place: Place, workload: Workload, seconds: int, core_list: str) -> measure.Load:
    """One bounded load. Raises ValueError when wrk gave no result."""
    script = place.folder / "wrk.lua"
    script.write_text(measure.wrk_script(workload.method, workload.request_bytes, workload.keep_alive))
    command = ["taskset", "-c", core_list, "wrk", "-t", "1", "-c", str(workload.connections), "-d", f"{seconds}s"]
    command += ["--timeout", "10s", "--latency", "-s", str(script), f"http://127.0.0.1:{place.port}{workload.path}"]
    done = subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds + 30
    )
    return measure.parse_wrk(done.stdout)


def run_cell(
    peer: Peer,
    workload: Workload,
    workers: int,
    round_number: int,
    seconds: int,
    upstream_ports: tuple[int, ...],
    folder: Path,
) -> Cell:
    """Starts the peer, checks its work, warms it up, measures, checks again, ends it."""
    folder.mkdir(parents=True)
    port, admin_port = free_ports(2)
    place = Place(folder, port, admin_port, upstream_ports, workers)
    proxy_cores, load_cores = cores(workers)
    file = folder / peer.file
    file.write_text(peer.configure(place))

    void = Cell(peer.name, workload.name, workers, round_number, 0.0, 0.0, None, measure.Memory(0, 0), 0, ())
    stdout = place.access_log if peer.logs_to_stdout else None
    with process(peer.command(file), proxy_cores, place.output, stdout, dict(peer.environment(place))) as started:
        if (
            not wait_until(lambda: started.poll() is not None or _answers(port), START_TIME)
            or started.poll() is not None
        ):
            return replace(void, problems=(f"did not start: {_last_words(place.output)}",))
        problems = check.sample_problems(port, workload, body_of(workload.response_bytes), upstream_ports)
        if problems:
            return replace(void, problems=tuple(problems))
        warm = run_wrk(place, workload, WARM_UP, load_cores)
        _settle(place.access_log)
        lines_before = measure.count_lines(place.access_log)
        cpu_before = measure.cpu_seconds(started.pid)
        load = run_wrk(place, workload, seconds, load_cores)
        cpu = measure.cpu_seconds(started.pid) - cpu_before
        held = measure.memory(started.pid)

        def written() -> int:
            return measure.count_lines(place.access_log) - lines_before

        is_complete = wait_until(lambda: check.is_log_complete(written(), load, workload), LOG_TIME)
        problems = check.load_problems(warm, workload) + check.load_problems(load, workload)
        if not is_complete:
            problems.append(f"{written()} access log lines for {load.requests} requests")
        return replace(
            void,
            cpu_us=cpu / load.requests * 1e6 if load.requests else 0.0,
            cpu_share=cpu / load.seconds,
            load=load,
            memory=held,
            log_lines=written(),
            problems=tuple(problems),
        )


def _last_words(output: Path) -> str:
    """The last line that a process printed: its reason for not starting."""
    lines = output.read_text(errors="replace").strip().splitlines()
    return lines[-1][-300:] if lines else "it printed nothing"


def _settle(log: Path) -> None:
    """Waits until the warm-up's last lines are written, so they are not counted to the load."""
    time.sleep(1.1)  # a buffer's flush interval: nothing tells when it has happened
    before = -1
    deadline = time.monotonic() + LOG_TIME
    while (now := log.stat().st_size if log.exists() else 0) != before and time.monotonic() < deadline:
        before = now
        time.sleep(0.1)
