"""Processes of a run: each is ended by its own pid, however the run ends."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

LOOK_SECONDS = 0.002


class Stuck(Exception):
    """Something awaited did not come true; the text says what, and what the process said."""


class Restartable(ABC):
    """A program that is started as a context manager, and can be ended and started again meanwhile."""

    @abstractmethod
    def start(self) -> None:
        """Returns once it serves."""

    @abstractmethod
    def end(self) -> None:
        """Returns once it is gone; nothing to do if it does not run."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


@contextlib.contextmanager
def child(
    command: Sequence[str],
    *,
    log: Path,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stop: signal.Signals = signal.SIGKILL,
    pipes: bool = False,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own, so that Ctrl-C reaches the harness alone. `log` gets what it prints, less
    standard output with `pipes`. At the end it gets `stop`, and SIGKILL when it does not listen."""
    pipe = subprocess.PIPE if pipes else None
    with log.open("ab") as said:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=pipe or subprocess.DEVNULL,
            stdout=pipe or said,
            stderr=said,
            process_group=0,
        )
    try:
        yield process
    finally:
        end(process, stop)
        for each in (process.stdin, process.stdout):
            if each is not None:
                with contextlib.suppress(BrokenPipeError):
                    each.close()


def end(process: subprocess.Popen[bytes], stop: signal.Signals = signal.SIGKILL, timeout: float = 15.0) -> None:
    """End a process if it runs: `stop` first, SIGKILL after `timeout` seconds."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGCONT)  # a stopped one would not hear
    process.send_signal(stop)
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until(claim: Callable[[], object], timeout: float, what: str) -> None:
    """Returns once `claim()` is true. Raises Stuck after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not claim():
        if time.monotonic() > deadline:
            raise Stuck(f"not within {timeout:g} s: {what}")
        time.sleep(LOOK_SECONDS)


def end_by_signal() -> None:
    """SIGTERM ends the run as Ctrl-C does, with everything cleaned up."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)
