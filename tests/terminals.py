"""A real terminal for tests: a program on a pty, and pyte to say what a person would see."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import pyte


class TerminalWindow:
    """What runs in it, and what it shows. Everything that was ever written to it is in `written`."""

    def __init__(self, process: subprocess.Popen[bytes], end: int, columns: int, lines: int) -> None:
        self.process = process
        self.written = b""
        self._end = end
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)

    def lines(self) -> list[str]:
        """The screen's content, without the spaces at the right."""
        return [line.rstrip() for line in self._screen.display]

    def text(self) -> str:
        return "\n".join(self.lines())

    def wait_for(self, claim: str | Callable[[str], object], deadline: float = 15.0) -> str:
        """Read on until the screen has this text, or the claim about it holds."""
        holds = (lambda text: claim in text) if isinstance(claim, str) else claim
        end = time.monotonic() + deadline
        while not holds(self.text()):
            left = end - time.monotonic()
            assert left > 0.0, f"not within {deadline:g} s: {claim}. The screen:\n{self.text()}"
            assert self._read(min(left, 1.0)), f"the program ended. The screen:\n{self.text()}"
        return self.text()

    def press(self, keys: str) -> None:
        os.write(self._end, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        """As when a person drags the window's corner: the kernel sends SIGWINCH."""
        self._screen.resize(lines, columns)
        _set_size(self._end, columns, lines)

    def wait_end(self, deadline: float = 10.0) -> int:
        """Read until the program ends; its exit code."""
        end = time.monotonic() + deadline
        while self._read(0.1):
            assert time.monotonic() < end, f"it does not end. The screen:\n{self.text()}"
        return self.process.wait(deadline)

    def _read(self, seconds: float) -> bool:
        """Take what there is to read; False at the end."""
        if not select.select([self._end], [], [], seconds)[0]:
            return self.process.poll() is None
        try:
            data = os.read(self._end, 65536)
        except OSError:  # EIO: the program's end is closed
            return False
        self.written += data
        self._stream.feed(data)
        return True


@contextlib.contextmanager
def open_terminal(
    command: Sequence[str], *, columns: int, lines: int, environment: Mapping[str, str] | None = None
) -> Iterator[TerminalWindow]:
    """A command in a window of this size; it is ended when the context is."""
    ours, theirs = pty.openpty()
    _set_size(theirs, columns, lines)
    base = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**base, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **(environment or {})},
    )
    os.close(theirs)
    try:
        yield TerminalWindow(process, ours, columns, lines)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
        os.close(ours)


def _set_size(descriptor: int, columns: int, lines: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
