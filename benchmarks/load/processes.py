"""Processes, ports and cores of a run. Every process is ended by its pid, all addresses are loopback."""

import contextlib
import os
import platform
import random
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.load import measure

STOP_TIME = 10.0
_FIRST_PORT = 10240


def free_ports(count: int) -> tuple[int, ...]:
    """Ports nobody listens on, all different. Below the range that outgoing connections take theirs from, if it can
    be: ten thousand clients would soon sit on one."""
    first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found: list[int] = []
    with contextlib.ExitStack() as held:
        candidates = range(_FIRST_PORT, max(first_outgoing, _FIRST_PORT))
        # Never the same in two runs, whatever has seeded `random`: what one left behind is not for another.
        for port in random.SystemRandom().sample(candidates, len(candidates)) + [0] * count:
            if len(found) == count:
                break
            each = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):  # taken: the next one
                each.bind(("127.0.0.1", port))
                found.append(each.getsockname()[1])
    return tuple(found)


def cores(workers: int, is_spread: bool = False) -> tuple[str, str]:
    """Core lists for taskset: the proxy's, and everybody else's. At least one core is left to the load, unless all
    are shared: then so are the proxy's, for any number of workers."""
    usable = sorted(os.sched_getaffinity(0))
    if is_spread and len(usable) < 4:
        everything = ",".join(map(str, usable))
        return everything, everything
    split = max(1, min(2 if is_spread else workers, len(usable) - 1))
    return ",".join(map(str, usable[:split])), ",".join(map(str, usable[split:] or usable))


def cpu_model() -> str:
    """What the processor calls itself."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def raise_file_limit() -> int:
    """Allows as many open files as the system lets this user have; everything started from here inherits it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


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
    folder: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A pinned process, ended by SIGTERM, or SIGKILL to what is left of its tree when it does not listen."""
    with output.open("ab") as errors, (stdout or output).open("ab") as printed:
        started = subprocess.Popen(
            ["taskset", "-c", core_list, *command],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=errors,
            env={**os.environ, **(environment or {})},
            cwd=folder,
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
