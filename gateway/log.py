"""The control plane's log: structlog to standard error, one JSON object or one readable line per event.

Standard output belongs to the access log. Whoever logs calls `structlog.get_logger()` and binds
what is known (`role`, `service`, ...); here it is only decided what becomes of it. Warnings that
libraries give to the standard library's `logging` come out in the same form.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, MutableMapping
from math import inf
from typing import Any, Final, Literal

import structlog

from gateway import outlet
from gateway.outlet import Outlet

LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_FIRST: Final = ("time", "level", "role", "pid", "event")
_SECRETS: Final = frozenset({"token", "consul_token", "x-consul-token", "authorization", "password", "secret"})

STDERR: Final = 2
SAME_EVERY: Final = 5.0  # seconds
MOST_KEPT: Final = 1000

EventDict = MutableMapping[str, Any]


class LineSink:
    """Writes whole lines to a descriptor, never fails and never waits: neither a closed terminal nor a reader that has
    stopped may stop the gateway.

    `dropped` counts the lines that could not be written; the next one that can is led by one that tells of them.
    """

    def __init__(self, descriptor: int, tell: Callable[[int], str]) -> None:
        """`tell` makes the line that tells how many are missing."""
        self.dropped = 0
        self._missing = 0  # since the last line that was written
        self._tell = tell
        self._outlet: Outlet | None
        try:
            self._outlet = outlet.to_standard(descriptor)
        except OSError:
            self._outlet = None  # it is closed: every line is dropped, and there is nobody to tell

    def msg(self, line: str) -> None:
        text = f"{self._tell(self._missing)}\n{line}\n" if self._missing else f"{line}\n"
        if self._outlet is None or self._outlet.put([text.encode(errors="backslashreplace")]):
            self.dropped += 1
            self._missing += 1
        else:
            self._missing = 0

    debug = info = warning = error = critical = exception = msg

    def close(self) -> None:
        if self._outlet is not None:
            self._outlet.close()
            self._outlet = None


_sinks: list[LineSink] = []  # the one in use


class _Forwarder(logging.Handler):
    """Hands records of the standard library's logging to structlog, the same one at most every `SAME_EVERY` seconds.

    Some are written in a loop for as long as something is wrong (no descriptor to accept with: ten a second).
    """

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._written: dict[tuple[str, str], float] = {}  # when, by logger and message

    def emit(self, record: logging.LogRecord) -> None:
        key, now = (record.name, str(record.msg)), time.monotonic()
        if now - self._written.get(key, -inf) < SAME_EVERY:
            return
        if len(self._written) >= MOST_KEPT:
            self._written.clear()
        self._written[key] = now
        level = next((name for name, least in LEVELS.items() if record.levelno <= least), "error")
        error = record.exc_info if record.exc_info and record.exc_info[0] is not None else None
        logger = structlog.get_logger()
        getattr(logger, level)(record.getMessage(), logger=record.name, exc_info=error)


def configure(
    level: str,
    format: Literal["json", "console"],  # noqa: A002 (the word of the configuration)
    descriptor: int = STDERR,
    *,
    role: str = "supervisor",
) -> LineSink:
    """Set the process's log up; may be called again (a reload). `level` is a key of LEVELS."""
    while _sinks:
        _sinks.pop().close()
    pid = os.getpid()

    def tell_missing(lines: int) -> str:
        if format == "console":
            return f"[{lines} lines of this log could not be written]"
        said = {"level": "warning", "role": role, "pid": pid, "event": "log lines dropped", "lines": lines}
        return json.dumps(said)

    sink = LineSink(descriptor, tell_missing)
    _sinks.append(sink)

    def identify(_logger: object, _name: str, event: EventDict) -> EventDict:
        event.setdefault("role", role)
        event.setdefault("pid", pid)
        return event

    last: list[structlog.typing.Processor] = [structlog.processors.format_exc_info, _in_order, _json_renderer()]
    if format == "console":
        # The plain traceback: the other shows local variables, a token among them.
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(
            colors=os.isatty(descriptor), timestamp_key="time", pad_event_to=0, exception_formatter=plain
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


def say(text: str) -> None:
    """A line for people, as it is, to where the log goes. After `configure`."""
    _sinks[-1].msg(text)


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
