"""Single faults: each does something to a running gateway, waits until it is over, and tells how long that took."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.events.stage import Instance
from benchmarks.reliability.figures import Loss
from benchmarks.reliability.host import Host
from benchmarks.reliability.leaks import descriptors
from benchmarks.rig.children import Stuck, wait_until

FULL = "/dev/full"  # every write to it fails as on a full disk
EXHAUSTED_SECONDS = 2.0
LIMIT_SECONDS = 1.2  # until a worker has noticed that fewer are allowed
HANG_SECONDS = 4.0  # below the route's timeout for what cannot be repeated
STUCK_SECONDS = 30.0  # until a stopped worker must have been replaced


@dataclass(slots=True)
class Stage:
    """What faults happen to. `losses` is what was done to workers."""

    host: Host
    instances: list[Instance]
    random: random.Random
    losses: list[Loss] = field(default_factory=list)
    reloads: int = 0


def kill_worker(stage: Stage) -> float:
    """kill -9 of a worker; milliseconds until its successor serves."""
    number = stage.random.randrange(stage.host.workers)
    pid = stage.host.worker_pids()[number]
    began = time.monotonic()
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    stage.losses.append(Loss(began, time.monotonic()))
    stage.host.await_worker(number, pid)
    return _since(began)


def stop_worker(stage: Stage) -> float:
    """SIGSTOP of a worker, as if it hung; milliseconds until it was found, killed and replaced."""
    number = stage.random.randrange(stage.host.workers)
    pid = stage.host.worker_pids()[number]
    began = time.monotonic()
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: not _exists(pid), STUCK_SECONDS, f"the stopped worker {pid} killed; see {stage.host.log}")
    stage.losses.append(Loss(began, time.monotonic()))
    stage.host.await_worker(number, pid)
    return _since(began)


def kill_supervisor(stage: Stage) -> float:
    """kill -9 of the supervisor, and a new `gw up` at once; milliseconds until that is ready."""
    began = stage.host.kill()
    stage.host.start()
    return _since(began)


def upgrade(stage: Stage) -> float:
    """`gw up --replace`; milliseconds until the new one is ready and the old one gone."""
    began = time.monotonic()
    stage.host.replace()
    return _since(began)


def reload(stage: Stage) -> float:
    """SIGHUP with another route; every fifth time the access log is on a full disk, every tenth file is bad.

    Milliseconds until every worker uses it.
    """
    stage.reloads += 1
    count = stage.reloads
    if count % 10 == 0:
        return _bad_reload(stage)
    before = stage.host.shared().generation
    extra = f'[[routes]]\npath = "/reload-{count}"\nservice = "bench"\n'
    stage.host.write(extra, FULL if count % 5 == 0 else None)
    began = time.monotonic()
    os.kill(stage.host.pid, signal.SIGHUP)
    stage.host.await_generation(before + 1)
    return _since(began)


def _bad_reload(stage: Stage) -> float:
    """What is refused: milliseconds until the log has said so."""
    log = stage.host.log
    size = log.stat().st_size
    stage.host.write("[[routes]]\nno_such_key = 1\n")
    began = time.monotonic()
    os.kill(stage.host.pid, signal.SIGHUP)
    wait_until(lambda: b"no_such_key" in log.read_bytes()[size:], 10.0, f"the bad file refused; see {log}")
    took = _since(began)
    stage.host.write()
    return took


def exhaust_descriptors(stage: Stage) -> float:
    """Idle clients take all descriptors that clients may have; milliseconds from their leaving to an answer."""
    pids = stage.host.worker_pids()
    before = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in pids}
    most = 2 * max(descriptors(pid) for pid in pids)
    for pid, (_, hard) in before.items():
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, hard))
    time.sleep(LIMIT_SECONDS)
    with _connections(stage.host.port) as crowd:
        crowd(most * len(pids))
        time.sleep(EXHAUSTED_SECONDS)
    began = time.monotonic()
    _await_answer(stage.host.port)
    took = _since(began)
    for pid, limits in before.items():
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    return took


def hang_instance(stage: Stage) -> float:
    """SIGSTOP of an instance for some seconds; milliseconds until the gateway had taken it out."""
    instance = stage.random.choice(stage.instances)
    began = time.monotonic()
    instance.signal(signal.SIGSTOP)
    try:
        while time.monotonic() < began + HANG_SECONDS and _is_used(stage, instance):
            time.sleep(0.02)
        took = _since(began)
        time.sleep(max(0.0, began + HANG_SECONDS - time.monotonic()))
    finally:
        instance.signal(signal.SIGCONT)
    wait_until(
        lambda: _is_used(stage, instance),
        30.0,
        f"{instance.address} back; see {stage.host.log}",
    )
    return took


def _is_used(stage: Stage, instance: Instance) -> bool:
    """Does whoever is in charge now let it take traffic? Yes, if it cannot be asked."""
    try:
        return stage.host.shared().instances("bench")[1][instance.address].eligible
    except (OSError, KeyError, Stuck):
        return True


def _since(began: float) -> float:
    return (time.monotonic() - began) * 1000


def _exists(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextlib.contextmanager
def _connections(port: int) -> Iterator[Callable[[int], None]]:
    """Gives what opens idle connections; they are closed at the end."""
    held: list[socket.socket] = []

    def crowd(count: int) -> None:
        held.extend(socket.create_connection(("127.0.0.1", port)) for _ in range(count))

    try:
        yield crowd
    finally:
        for each in held:
            each.close()


def _await_answer(port: int) -> None:
    """Until a new connection has an answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET /after HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        if not connection.recv(4096).startswith(b"HTTP/1.1 200 "):
            raise Stuck("a new connection got no good answer once there were descriptors again")
