"""`gw status --watch` in a real terminal, before a made-up gateway."""

from __future__ import annotations

import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.terminals import TerminalWindow, open_terminal
from tests.unit.fake_gateway import FakeFacade, make_facts, served

# What clears before it draws, and so flickers: ED 1, 2, 3, and the whole line (EL 2); RIS; and a form feed.
CLEARING = re.compile(rb"\x1b\[[123]J|\x1b\[2K|\x1bc|\x0c|\x1b\[H\x1b\[J")
FRAME_END = b"\x1b[?2026l"


@contextmanager
def watching(address: str, columns: int, lines: int, *options: str, **environment: str) -> Iterator[TerminalWindow]:
    command = [sys.executable, "-m", "cli.app", "status", "--watch", "--interval", "0.1", "--admin", address, *options]
    with open_terminal(command, columns=columns, lines=lines, environment=environment) as window:
        yield window


def test_keys_sort_filter_scroll_pause_help_and_quit(gateway: str, facade: FakeFacade) -> None:
    with watching(gateway, 100, 30) as window:
        text = window.wait_for("sort: trouble")
        assert text.index("orders") < text.index("users   "), "no instance of orders takes traffic"
        window.press("s")
        window.wait_for("sort: name")
        window.press("/refused\r")
        text = window.wait_for("FILTER refused")
        assert "10.0.0.3:9001" in text
        assert "10.0.0.1:9001" not in text
        window.press("\x1b")
        window.wait_for("10.0.0.1:9001")
        window.press("p")
        window.wait_for("PAUSED")
        facade.present = replace(facade.present, generation=77)
        window.press("h")
        assert "generation 42" in window.wait_for("scroll by a window"), "it stands still"
        window.press("hp")
        window.wait_for("generation 77")
        window.press("q")
        assert window.wait_end() == 0
        assert window.written.endswith(b"\x1b[?25h\x1b[?1049l"), "the cursor and the screen are given back"


def test_frames_differ_in_place_and_nothing_is_cleared(gateway: str, facade: FakeFacade) -> None:
    with watching(gateway, 100, 30) as window:
        window.wait_for("generation 42")
        for generation in (43, 44, 45):
            facade.present = replace(facade.present, generation=generation)
            window.wait_for(f"generation {generation}")
        assert CLEARING.findall(window.written) == []
        frames = window.written.split(FRAME_END)
        assert len(frames) > 4
        assert max(map(len, frames[2:])) < len(frames[0]) / 2, "only what changed is written"


def test_a_window_that_is_resized_is_filled_again(gateway: str) -> None:
    with watching(gateway, 60, 20) as window:
        assert "CONNECTIONS" not in window.wait_for("h help")
        window.resize(200, 50)
        text = window.wait_for(lambda text: "CONNECTIONS" in text and window.lines()[-1].startswith("h help"))
        assert "EJECTIONS" in text
        window.resize(70, 12)
        text = window.wait_for(lambda text: "more below" in window.lines()[-1])
        assert "EJECTIONS" not in text
        window.press("\x1b[6~")
        window.wait_for(lambda text: re.search(r"lines \d+-\d+ of \d+", text))
        window.press("\x1b[H")
        window.wait_for("more below")
        assert CLEARING.findall(window.written) == []


def test_a_gateway_that_restarts_is_waited_for(facade: FakeFacade) -> None:
    with served(facade) as address, watching(address, 100, 40) as window:
        window.wait_for("ready")
        facade.broken = True
        text = window.wait_for("NO ANSWER from")
        assert "10.0.0.1:9001" in text, "the last that was heard stays"
        facade.present, facade.broken = make_facts(facade.present.started_at + 500.0), False
        text = window.wait_for(lambda text: "NO ANSWER" not in text)
        window.press("q")
        assert window.wait_end() == 0


def test_a_restart_is_told(facade: FakeFacade) -> None:
    with served(facade) as address, watching(address, 100, 40) as window:
        window.wait_for("ready")
        assert "RESTARTED" not in window.text()
        facade.present = make_facts(time.time())
        window.wait_for("THE GATEWAY RESTARTED")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_as_q_does(gateway: str, number: signal.Signals) -> None:
    with watching(gateway, 80, 24) as window:
        window.wait_for("h help")
        window.process.send_signal(number)
        assert window.wait_end() == 0
        assert window.written.endswith(b"\x1b[?25h\x1b[?1049l")


def state(pid: int) -> str:
    """Of a process, as /proc has it: T is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_it_can_be_suspended_and_goes_on(gateway: str) -> None:
    with watching(gateway, 80, 24) as window:
        window.wait_for("h help")
        before = len(window.written)
        window.process.send_signal(signal.SIGTSTP)
        shell = b"\x1b[?25h\x1b[?1049l"  # has its screen, and then the program stops
        window.wait_for(lambda _text: window.written.endswith(shell) and state(window.process.pid) == "T")
        window.process.send_signal(signal.SIGCONT)
        window.wait_for(lambda _text: b"\x1b[?1049h" in window.written[before:] and "h help" in window.text())
        window.press("q")
        assert window.wait_end() == 0


def test_one_service_with_its_history(gateway: str) -> None:
    with watching(gateway, 120, 40, "--service", "orders") as window:
        text = window.wait_for("orders")
        assert "users" not in text
        assert "WORKER" not in text


def test_without_colour_there_is_none(gateway: str) -> None:
    with watching(gateway, 100, 30, NO_COLOR="1") as window:
        window.wait_for("unhealthy")
        assert not re.search(rb"\x1b\[[0-9;]*[34][0-7]m", window.written)


def test_a_dumb_terminal_and_a_screen_reader_get_sentences(gateway: str) -> None:
    for options, environment in (((), {"TERM": "dumb"}), (("--plain",), {})):
        with watching(gateway, 80, 24, *options, **environment) as window:
            window.wait_for("Gateway edge: ready.")
            window.wait_for(lambda _text: window.written.count(b"Gateway edge: ready.") > 1)
            assert b"\x1b" not in window.written
            assert not re.search("[\u2500-\u259f\u25cf\u25cb\u2716]", window.written.decode())
