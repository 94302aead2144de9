"""A terminal window that one program has to itself: the alternate screen, drawn in place, and the keys pressed in it.

A frame writes only the lines that differ from the last one, each over its predecessor, between the marks of a
synchronized update: nothing is ever cleared first, so nothing flickers. Sequences are those of ECMA-48 and xterm's
ctlseqs; terminals that do not know synchronized updates ignore the marks.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Any, Final, Self

from cli.keys import decode
from cli.render import Screen, Text

_ENTER: Final = "\x1b[?1049h\x1b[?25l"  # the other screen, no cursor
_LEAVE: Final = "\x1b[0m\x1b[?25h\x1b[?1049l"
_BEGIN: Final = "\x1b[?2026h"
_END: Final = "\x1b[?2026l"
_REST_OF_LINE: Final = "\x1b[K"
_REST_OF_SCREEN: Final = "\x1b[J"
_READ: Final = 1024  # bytes


class Terminal:
    """To be used as a context: the window is given back as it was, whatever ends it, and for the time of a Ctrl-Z."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._out = screen.console.file
        self._keys = sys.stdin.fileno() if sys.stdin and sys.stdin.isatty() else None
        self._before: list[Any] | None = None  # the terminal's settings
        self._drawn: list[str] = []
        self._size = (0, 0)
        self._wake_end, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._handlers = {
            signal.SIGWINCH: signal.signal(signal.SIGWINCH, lambda _number, _frame: self.wake()),
            signal.SIGTSTP: signal.signal(signal.SIGTSTP, self._suspend),
            signal.SIGTERM: signal.signal(signal.SIGTERM, signal.default_int_handler),  # as Ctrl-C
        }
        self._take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_back()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        os.close(self._wake_end)
        os.close(self._wake)

    def draw(self, lines: Sequence[Text]) -> None:
        """Show these lines from the top on; as many as there are rows."""
        width, height = self._screen.console.size
        if (width, height) != self._size:
            self._size, self._drawn = (width, height), []
        parts: list[str] = []
        drawn: list[str] = []
        for row, line in enumerate(lines[:height]):
            text = self._screen.ansi(line)
            drawn.append(text)
            if row < len(self._drawn) and self._drawn[row] == text:
                continue
            # In the last column the cursor stands on the last character, which must not be erased.
            rest = _REST_OF_LINE if self._screen.cut(line).cell_len < width else ""
            parts.append(f"\x1b[{row + 1};1H{text}{rest}")
        if len(drawn) < height and len(drawn) != len(self._drawn):
            parts.append(f"\x1b[{len(drawn) + 1};1H{_REST_OF_SCREEN}")
        self._drawn = drawn
        if parts:
            self._write(_BEGIN + "".join(parts) + _END)

    def wait(self, seconds: float) -> list[str]:
        """The keys that were pressed, by name; nothing when the time is over or `wake` was called."""
        watched = [self._wake_end] if self._keys is None else [self._wake_end, self._keys]
        ready, _, _ = select.select(watched, [], [], seconds)
        if self._wake_end in ready:
            os.read(self._wake_end, _READ)
        if self._keys is None or self._keys not in ready:
            return []
        data = os.read(self._keys, _READ)
        if not data:
            self._keys = None  # nobody is at the keys any more
        return decode(data)

    def wake(self) -> None:
        """End a `wait`; from any thread or signal handler."""
        try:
            os.write(self._wake, b".")
        except BlockingIOError:
            return  # it is full of reasons to wake up

    def _take(self) -> None:
        if self._keys is not None:
            self._before = termios.tcgetattr(self._keys)
            tty.setcbreak(self._keys, termios.TCSADRAIN)
        self._drawn = []
        self._write(_ENTER)

    def _give_back(self) -> None:
        self._write(_LEAVE)
        if self._keys is not None and self._before is not None:
            termios.tcsetattr(self._keys, termios.TCSADRAIN, self._before)

    def _suspend(self, _number: int, _frame: FrameType | None) -> None:
        """Ctrl-Z: the shell gets its screen until the job goes on."""
        self._give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take()
        self.wake()

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
