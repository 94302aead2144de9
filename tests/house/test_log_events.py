"""Every event of the gateway's own log is in docs/logs.md."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "logs.md"
LEVELS = frozenset(("debug", "info", "warning", "error", "exception"))
LIBRARIES = frozenset(("admin_server",))  # what a library says is its own


def events() -> set[str]:
    """The names of events that the packages log, workers' included."""
    found: set[str] = set()
    for package in ("discovery", "healthcheck", "gateway"):
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call):
                    found.update(_names(node))
    return found - LIBRARIES


def _names(call: ast.Call) -> Iterator[str]:
    """What `log.info("event")` and `report("info", "event")` name; "a" if x else "b" names two."""
    function = call.func
    if isinstance(function, ast.Attribute) and function.attr in LEVELS and call.args:
        owner = function.value
        if isinstance(owner, ast.Name) and owner.id == "log":
            yield from _texts(call.args[0])
    elif isinstance(function, ast.Attribute) and function.attr in ("report", "_report") and len(call.args) > 1:
        yield from _texts(call.args[1])


def _texts(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=one, orelse=other):
            yield from _texts(one)
            yield from _texts(other)


def test_every_event_of_the_log_is_documented() -> None:
    page = PAGE.read_text()
    assert sorted(event for event in events() if f"`{event}`" not in page) == []


def test_events_are_found_at_all() -> None:
    assert {"ready", "not ready", "worker died", "access log lines dropped"} <= events()
