"""A gateway on a socket that systemd made is replaced, by command and by signal: the socket outlives both."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from pathlib import Path

from tests.backends import start_backend, wait_until
from tests.gateway_config import one_service
from tests.gateways import RunningGateway, is_running, replace_gateway, start_gateway
from tests.loads import start_load, tell
from tests.raw_client import RawClient
from tests.systemd import address_of, launcher, listening


def test_the_socket_passes_from_one_gateway_to_the_next_and_stays_when_both_are_gone(tmp_path: Path) -> None:
    with ExitStack() as stack:
        sock = stack.enter_context(listening())
        backend = stack.enter_context(start_backend("one", latency=0.05))
        config = one_service(backend.url)
        old = stack.enter_context(
            start_gateway(
                tmp_path,
                config,
                listen=(address_of(sock),),
                launcher=launcher([sock]),
                pass_fds=[sock.fileno()],
            )
        )
        old.wait_until(old.eligible)
        with start_load(address_of(sock), connections=6, headers=(("Connection", "close"),)) as load:
            load.wait_for(50)
            new = stack.enter_context(replace_gateway(old, config))
            assert old.process.wait(20) == 0
            load.wait_for(50)
            successor = _replace_by_signal(new)
            stack.callback(_end, successor)
            load.wait_for(50)
            report = load.stop()
        tell("load", report.summary())
        assert report.failures == ()
        _end(successor)
        with RawClient(
            sock.getsockname()[1]
        ):  # nobody serves it, and it takes connections: systemd would start another
            pass


def _replace_by_signal(gateway: RunningGateway) -> int:
    gateway.signal(signal.SIGUSR2)
    assert gateway.process.wait(60) == 0
    pid: int = gateway.events("a new gateway was started")[0]["successor_pid"]
    return pid


def _end(pid: int) -> None:
    if is_running(pid):
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not is_running(pid), 20.0, what="the end of the successor")
