"""The control plane's log: structlog to standard error, one JSON object or one readable line per event.

Standard output belongs to the access log. Whoever logs calls `structlog.get_logger()` and binds
what is known (`role`, `service`, ...); here it is only decided what becomes of it. Warnings that
libraries give to the standard library's `logging` come out in the same form.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any, Final, Literal, TextIO

import structlog

LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_FIRST: Final = ("time", "level", "role", "pid", "event")
_SECRETS: Final = frozenset({"token", "consul_token", "x-consul-token", "authorization", "password", "secret"})

EventDict = MutableMapping[str, Any]


class LineSink:
    """Writes whole lines to a stream and never fails: a closed terminal must not stop the gateway.

    `dropped` counts the lines that could not be written.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.dropped = 0

    def msg(self, line: str) -> None:
        try:
            self._stream.write(f"{line}\n")
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream is closed
            self.dropped += 1

    debug = info = warning = error = critical = exception = msg


class _Forwarder(logging.Handler):
    """Hands records of the standard library's logging to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        level = next((name for name, least in LEVELS.items() if record.levelno <= least), "error")
        error = record.exc_info if record.exc_info and record.exc_info[0] is not None else None
        logger = structlog.get_logger()
        getattr(logger, level)(record.getMessage(), logger=record.name, exc_info=error)


def configure(
    level: str,
    format: Literal["json", "console"],  # noqa: A002 (the word of the configuration)
    stream: TextIO | None = None,
    *,
    role: str = "supervisor",
) -> LineSink:
    """Set the process's log up; may be called again (a reload). `level` is a key of LEVELS; `stream` None: stderr."""
    stream = sys.stderr if stream is None else stream
    sink = LineSink(stream)
    pid = os.getpid()

    def identify(_logger: object, _name: str, event: EventDict) -> EventDict:
        event.setdefault("role", role)
        event.setdefault("pid", pid)
        return event

    last: list[structlog.typing.Processor] = [structlog.processors.format_exc_info, _in_order, _json_renderer()]
    if format == "console":
        # The plain traceback: the other shows local variables, a token among them.
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), timestamp_key="time", pad_event_to=0, exception_formatter=plain
        )
        last = [renderer]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            identify,
            _without_secrets,
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: sink,
        cache_logger_on_first_use=False,  # so that a reload reaches loggers that exist already
    )
    _forward_libraries(LEVELS[level])
    return sink


def _forward_libraries(level: int) -> None:
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Forwarder)]:
        root.removeHandler(handler)
    # Libraries say at info what is none of an operator's business (every probe's request and status).
    root.addHandler(_Forwarder(max(level, logging.WARNING)))


def _json_renderer() -> structlog.processors.JSONRenderer:
    return structlog.processors.JSONRenderer(default=str, ensure_ascii=False)


def _in_order(_logger: object, _name: str, event: EventDict) -> EventDict:
    """The fields every line has come first, so that lines can be read one below the other."""
    return {**{key: event[key] for key in _FIRST if key in event}, **event}


def _without_secrets(_logger: object, _name: str, event: EventDict) -> EventDict:
    for key in event:
        if key.lower() in _SECRETS and event[key]:
            event[key] = "***"
    return event
