"""The control plane's log: its two forms, levels, and what never appears in it."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator

import pytest
import structlog

from gateway import log


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    handlers = logging.getLogger().handlers[:]
    yield
    logging.getLogger().handlers[:] = handlers
    structlog.reset_defaults()


def test_a_json_line_has_time_level_role_pid_and_event() -> None:
    stream = io.StringIO()
    log.configure("info", "json", stream)
    structlog.get_logger().info("worker started", worker=3)
    line = json.loads(stream.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {"level": "info", "role": "supervisor", "pid": os.getpid(), "event": "worker started", "worker": 3}


def test_an_event_cannot_begin_a_line_of_its_own() -> None:
    stream = io.StringIO()
    log.configure("info", "json", stream)
    structlog.get_logger().info("a\nb", detail="c\r\nd")
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("form", ["json", "console"])
def test_tokens_never_appear(form: str) -> None:
    stream = io.StringIO()
    log.configure("info", "console" if form == "console" else "json", stream)
    token = "s3cret"
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger().exception("failed", token=token)
    assert "ValueError: broken" in stream.getvalue()
    assert "s3cret" not in stream.getvalue()


def test_levels_hide_what_is_below_and_a_reload_changes_them() -> None:
    stream = io.StringIO()
    logger = structlog.get_logger(role="agent")
    log.configure("warning", "console", stream)
    logger.info("hidden")
    log.configure("debug", "console", stream)
    logger.debug("seen")
    assert "hidden" not in stream.getvalue()
    assert "seen" in stream.getvalue()
    assert "role=agent" in stream.getvalue()


def test_warnings_of_libraries_come_out_in_the_same_form_once() -> None:
    stream = io.StringIO()
    log.configure("info", "json", stream)
    log.configure("info", "json", stream)
    logging.getLogger("some.library").warning("look at %s", "this")
    logging.getLogger("some.library").info("chatter")
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["event"] == "look at this"
    assert json.loads(line)["logger"] == "some.library"


def test_a_closed_stream_costs_lines_and_nothing_else() -> None:
    stream = io.StringIO()
    sink = log.configure("info", "json", stream)
    stream.close()
    structlog.get_logger().error("nobody reads this")
    assert sink.dropped == 1
