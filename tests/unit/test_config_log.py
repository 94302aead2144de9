"""The control plane's log: its two forms, levels, and what never appears in it."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterator

import pytest
import structlog

from gateway import log


class Stream:
    """A descriptor, and what was written to it."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the stream

    def fileno(self) -> int:
        return self._file.fileno()

    def getvalue(self) -> str:
        self._file.seek(0)
        return self._file.read().decode()

    def close(self) -> None:
        self._file.close()


@pytest.fixture
def stream() -> Iterator[Stream]:
    made = Stream()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    handlers = logging.getLogger().handlers[:]
    yield
    logging.getLogger().handlers[:] = handlers
    structlog.reset_defaults()


def test_a_json_line_has_time_level_role_pid_and_event(stream: Stream) -> None:
    log.configure("info", "json", stream.fileno())
    structlog.get_logger().info("worker started", worker=3)
    line = json.loads(stream.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {"level": "info", "role": "supervisor", "pid": os.getpid(), "event": "worker started", "worker": 3}


def test_an_event_cannot_begin_a_line_of_its_own(stream: Stream) -> None:
    log.configure("info", "json", stream.fileno())
    structlog.get_logger().info("a\nb", detail="c\r\nd")
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("form", ["json", "console"])
def test_tokens_never_appear(form: str, stream: Stream) -> None:
    log.configure("info", "console" if form == "console" else "json", stream.fileno())
    token = "s3cret"
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger().exception("failed", token=token)
    assert "ValueError: broken" in stream.getvalue()
    assert "s3cret" not in stream.getvalue()


def test_levels_hide_what_is_below_and_a_reload_changes_them(stream: Stream) -> None:
    logger = structlog.get_logger(role="agent")
    log.configure("warning", "console", stream.fileno())
    logger.info("hidden")
    log.configure("debug", "console", stream.fileno())
    logger.debug("seen")
    assert "hidden" not in stream.getvalue()
    assert "seen" in stream.getvalue()
    assert "role=agent" in stream.getvalue()


def test_warnings_of_libraries_come_out_in_the_same_form_once(stream: Stream) -> None:
    log.configure("info", "json", stream.fileno())
    log.configure("info", "json", stream.fileno())
    logging.getLogger("some.library").warning("look at %s", "this")
    logging.getLogger("some.library").warning("look at %s", "that")  # in a loop, it may be
    logging.getLogger("some.library").info("chatter")
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["event"] == "look at this"
    assert json.loads(line)["logger"] == "some.library"


def test_a_closed_stream_costs_lines_and_nothing_else(stream: Stream) -> None:
    number = stream.fileno()
    stream.close()
    sink = log.configure("info", "json", number)
    structlog.get_logger().error("nobody reads this")
    assert sink.dropped == 1


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_reader_that_has_stopped_is_not_waited_for_and_told_later(form: str) -> None:
    reader, writer = os.pipe()
    try:
        sink = log.configure("info", "console" if form == "console" else "json", writer)
        while not sink.dropped:
            structlog.get_logger().info("event", text="x" * 1000)
        os.read(reader, 1 << 20)
        structlog.get_logger().info("there is room again")
        notice, line = os.read(reader, 1 << 20).decode().splitlines()
    finally:
        os.close(reader)
        os.close(writer)
    assert "there is room again" in line
    assert "1 lines of this log could not be written" in notice or json.loads(notice)["lines"] == 1


def test_a_reload_leaves_no_descriptor_behind(stream: Stream) -> None:
    log.configure("info", "json", stream.fileno())
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(5):
        log.configure("info", "json", stream.fileno())
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
