"""Process figures, read from real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from gateway.admin.process import Usage, read_process, usage


def test_our_own_process_is_plausible() -> None:
    figures = read_process(os.getpid())
    assert figures is not None
    assert abs(figures.cpu_seconds - sum(os.times()[:2])) < 0.5
    assert 1_000_000 < figures.resident_bytes < figures.virtual_bytes
    assert figures.open_fds is not None
    assert figures.open_fds >= 3
    assert time.time() - 86_400 < figures.start_time < time.time()
    assert abs(usage(os.getpid()).resident_bytes - figures.resident_bytes) < 50_000_000
    assert abs(usage(os.getpid()).cpu_seconds - figures.cpu_seconds) < 0.5


def test_a_process_that_ended_has_no_figures() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert read_process(child.pid) is None
    assert usage(child.pid) == Usage(0, 0.0)


def test_pid_0_of_a_worker_that_is_not_there_is_no_process() -> None:
    assert read_process(0) is None
    assert usage(0) == Usage(0, 0.0)
