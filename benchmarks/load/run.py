"""Runs one cell of the comparison: a peer, started fresh, under one workload. No judging: `check` and `report` do that.

Proxies are pinned to the first core or cores, load generator and upstream to the rest, so that what the load costs is
not counted to the proxy. All addresses are loopback, every load ends by itself, every process is ended by its pid.
"""

import contextlib
import functools
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.load import check, idle, measure
from benchmarks.load.configs import Place
from benchmarks.load.peers import Peer
from benchmarks.load.processes import cores, free_ports, process, wait_until
from benchmarks.load.upstream import START_TIME, Upstreams, answers
from benchmarks.load.workloads import LARGE, SMALL, Workload

LOG_TIME = 5.0
"""Seconds for the last log lines to reach the file: buffers are flushed within one."""
WARM_UP = 1
REST_TIME = 3.0
"""Seconds of doing nothing over which CPU at rest is measured."""
STALL_TIME = 2.0
"""Seconds in which a peer could go on reading for clients that do not."""


@dataclass(frozen=True, slots=True)
class Rest:
    """What connections cost that do nothing."""

    connections: int
    cpu_share_before: float
    """Cores busy at rest without them (health checks, timers)."""
    cpu_share: float
    """And with them."""
    bytes_each: float
    """Memory of the tree per connection, without what the kernel holds for it."""


@dataclass(frozen=True, slots=True)
class Stall:
    """What clients cost that stopped reading a body."""

    clients: int
    bytes_each: float


@dataclass(frozen=True, slots=True)
class Cell:
    """What one peer did under one workload in one round. `problems` not empty: it counts for nothing."""

    peer: str
    workload: str
    workers: int
    round: int
    cpu_us: float
    """CPU microseconds of the whole process tree per unit of the workload (a request, or a MiB)."""
    others_us: float
    """The same of load generator and upstream together."""
    cpu_share: float
    """Cores kept busy."""
    per_second: float
    """Units in a second."""
    load: measure.Load | None
    start_memory: measure.Memory
    """Of the started peer, before any request."""
    memory: measure.Memory
    log_lines: int
    rest: Rest | None
    stall: Stall | None
    problems: tuple[str, ...]


_NOTHING = measure.Memory(0, 0, 0)


def run_load(place: Place, workload: Workload, upload: Path, seconds: int, core_list: str) -> measure.Load:
    """One bounded load. Raises ValueError when the generator gave no result."""
    if workload.is_transfer:
        body = str(upload) if workload.is_upload else ""
        command = [sys.executable, "-m", "benchmarks.load.transfer", str(place.port), workload.method, workload.path]
        command += [body, str(workload.connections), str(seconds)]
    else:
        script = place.folder / "wrk.lua"
        script.write_text(measure.wrk_script(workload.method, workload.request_bytes, workload.keep_alive))
        command = ["wrk", "-t", "1", "-c", str(workload.connections), "-d", f"{seconds}s", "--timeout", "10s"]
        command += ["--latency", "-s", str(script), f"http://127.0.0.1:{place.port}{workload.path}"]
    done = subprocess.run(
        ["taskset", "-c", core_list, *command],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds + 120,
    )
    return measure.parse_result(done.stdout)


def units_of(load: measure.Load, workload: Workload) -> float:
    """How much of the workload's unit was done. Of large responses the parts that came before the load ended count
    too: they are counted by their bytes, beside which heads are nothing."""
    if workload.is_transfer:
        return load.bytes / 2**20
    return load.bytes / workload.response_bytes if workload.response_bytes >= LARGE else float(load.requests)


def run_cell(
    peer: Peer, workload: Workload, workers: int, round_number: int, seconds: int, instances: Upstreams, folder: Path
) -> Cell:
    """Starts the peer, checks its work, warms it up, measures, checks again, ends it."""
    void = Cell(
        peer.name, workload.name, workers, round_number, 0.0, 0.0, 0.0, 0.0, None, _NOTHING, _NOTHING, 0, None, None, ()
    )
    if problems := idle.limit_problems(workload.idle):
        return replace(void, problems=tuple(problems))
    folder.mkdir(parents=True)
    port, admin_port = free_ports(2)
    upstream_ports = instances.ports(workload)
    place = Place(
        folder,
        port,
        admin_port,
        upstream_ports,
        workers,
        routes=workload.routes,
        connections=workload.client_connections,
        is_logged=workload.is_logged,
    )
    files = peer.configure(place)
    for name, text in files.items():
        (folder / name).write_text(text)
    command = peer.command(folder / next(iter(files)))
    proxy_cores, load_cores = cores(workers, workload.is_spread)
    stdout = place.access_log if peer.logs_to_stdout else None
    environment = dict(peer.environment(place))
    ready = functools.partial(answers, port, f"{workload.prefix}/{SMALL}")
    with process(command, proxy_cores, place.output, stdout, environment, folder) as started:
        if not wait_until(lambda: started.poll() is not None or ready(), START_TIME) or started.poll() is not None:
            return replace(void, problems=(f"did not start: {_last_words(place.output)}",))
        at_start = measure.memory(started.pid)
        sampled = check.sample(port, workload, instances.upload, upstream_ports)
        problems = [*sampled.problems, *check.metrics_problems(admin_port)]
        logged = functools.partial(check.has_line_with, place.access_log, sampled.request_id)
        if not problems and workload.is_logged and not wait_until(logged, LOG_TIME):
            problems.append("the access log has no line with the sample's request id")
        if problems:
            return replace(void, problems=tuple(problems))
        try:
            with _idle_connections(started.pid, port, workload, min(REST_TIME, seconds)) as (held, rest):
                cell = _loaded(void, started.pid, place, workload, instances, seconds, load_cores)
                problems = [*cell.problems, *held.problems()]
            stall = _stalled(started.pid, port, workload) if workload.stalled else None
        except (OSError, ValueError) as error:
            return replace(void, problems=(str(error),))
        return replace(
            cell,
            start_memory=at_start,
            memory=replace(cell.memory, peak=measure.memory(started.pid).peak),
            rest=rest,
            stall=stall,
            problems=tuple(problems),
        )


def _loaded(
    void: Cell, pid: int, place: Place, workload: Workload, instances: Upstreams, seconds: int, load_cores: str
) -> Cell:
    """Warm-up and load; the log has every line from before. Raises ValueError when the generator gave no result."""
    lines_before = measure.count_lines(place.access_log)
    warm = run_load(place, workload, instances.upload, WARM_UP, load_cores)
    cpu_before, others_before = measure.cpu_seconds(pid), _others(instances)
    load = run_load(place, workload, instances.upload, seconds, load_cores)
    cpu, others = measure.cpu_seconds(pid) - cpu_before, _others(instances) - others_before
    held = measure.memory(pid)

    def written() -> int:
        return measure.count_lines(place.access_log) - lines_before

    is_complete = wait_until(lambda: check.is_log_complete(written(), (warm, load), workload), LOG_TIME)
    problems = check.load_problems(warm, workload) + check.load_problems(load, workload)
    if not is_complete:
        problems.append(f"{written()} access log lines for {warm.requests + load.requests} requests")
    units = units_of(load, workload)
    return replace(
        void,
        cpu_us=cpu / units * 1e6 if units else 0.0,
        others_us=others / units * 1e6 if units else 0.0,
        cpu_share=cpu / load.seconds,
        per_second=units / load.seconds,
        load=load,
        memory=held,
        log_lines=written(),
        problems=tuple(problems),
    )


def _others(instances: Upstreams) -> float:
    """CPU seconds so far of every load generator that ended, and of the upstream."""
    generators = resource.getrusage(resource.RUSAGE_CHILDREN)
    return generators.ru_utime + generators.ru_stime + sum(map(measure.cpu_seconds, instances.pids))


@contextlib.contextmanager
def _idle_connections(
    pid: int, port: int, workload: Workload, seconds: float
) -> Iterator[tuple[idle.Held, Rest | None]]:
    """Holds the workload's idle connections, having measured what they cost. Raises OSError when one fails."""
    if not workload.idle:
        yield idle.Held((), b""), None
        return
    before = _share_at_rest(pid, seconds)
    memory_before = measure.memory(pid).pss
    with idle.held(port, workload.path, workload.idle) as held:
        share = _share_at_rest(pid, seconds)
        each = (measure.memory(pid).pss - memory_before) / workload.idle
        yield held, Rest(workload.idle, before, share, each)


def _share_at_rest(pid: int, seconds: float) -> float:
    """Cores busy while nobody asks for anything, once what was asked before is done and logged."""
    time.sleep(1.1)  # a log buffer's flush interval
    before = measure.cpu_seconds(pid)
    time.sleep(seconds)
    return (measure.cpu_seconds(pid) - before) / seconds


def _stalled(pid: int, port: int, workload: Workload) -> Stall:
    """Memory with clients that stopped reading, by what there was before them. Raises OSError when one fails."""
    before = measure.memory(pid).pss
    with idle.stalled(port, workload.path, workload.stalled):
        time.sleep(STALL_TIME)
        return Stall(workload.stalled, (measure.memory(pid).pss - before) / workload.stalled)


def _last_words(output: Path) -> str:
    """The last line that a process printed: its reason for not starting."""
    lines = output.read_text(errors="replace").strip().splitlines()
    return lines[-1][-300:] if lines else "it printed nothing"
