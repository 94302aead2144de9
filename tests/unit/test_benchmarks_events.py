"""From what the events benchmark observed to its figures and its page."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.events import __main__ as command
from benchmarks.events.client import KINDS, REFUSED, Report, cause_of, message
from benchmarks.events.figures import (
    Row,
    Times,
    change_after,
    failures,
    first_attempts,
    is_used,
    last_attempt_ms,
    last_ms,
    used_ms,
)
from benchmarks.events.page import HEADINGS, MARK, fill_in, page, remarks, words
from benchmarks.rig.about import About, percentile
from benchmarks.rig.shared import Change, History

ABOUT = About("2026-01-01 00:00 UTC", "A CPU, 2 cores", "Linux 6.1", ("gw 1", "Consul v1"), 0.1)
ROW = Row(
    name="kill",
    title="kill -9",
    repetitions=2,
    times=Times(last=[5.0, 7.0], out=[10.0, 20.0], into=[30.0], first=[]),
    sent=1234,
    idempotent={},
    others={"502 upstream_reset": 3},
    slowest_ms=12.3,
    notes=["it was quick", ""],
)


def test_a_snapshot_counts_from_the_event_on_and_until_the_last_worker_uses_it() -> None:
    old = Change(1.0, 1, {}, [1.0, 1.0])
    new = Change(2.0, 2, {}, [2.1, None])
    history = History([old, new], [])
    found = change_after(history, 1.5, lambda instances: not instances)
    assert found is new
    assert not is_used(found)
    new.used_at[1] = 2.3
    assert is_used(found)
    assert used_ms(new, 1.5) == pytest.approx(800)
    assert change_after(history, 2.5, lambda instances: True) is None
    assert not is_used(None)


def test_attempts_are_told_apart_by_address_worker_and_time() -> None:
    history = History([], [(1.0, 0, "a"), (2.0, 1, "a"), (2.5, 0, "a"), (3.0, 0, "b"), (9.0, 0, "a")])
    assert first_attempts(history, "a", 1.5) == {1: 2.0, 0: 2.5}
    assert last_attempt_ms(history, "a", 1.5, 4.0) == pytest.approx(1000)
    assert last_ms([1.0, 1.2], 1.5) == 0.0


def test_failures_are_counted_by_cause_and_by_what_a_client_may_repeat() -> None:
    said = [(1.0, 1.1, "GET", "503 x"), (2.0, 2.1, "GET, new connection", "503 x"), (3.0, 3.1, "POST", "502 y")]
    assert failures(Report(failures=said)) == ({"503 x": 2}, {"502 y": 1})


def test_a_percentile_of_nothing_is_no_number() -> None:
    assert math.isnan(percentile([], 50))
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([3.0, 1.0, 2.0], 99) == 3.0


def test_a_row_has_a_cell_for_every_heading() -> None:
    cells = words(ROW)
    assert len(cells) == len(HEADINGS)
    assert cells == ("kill -9", "2", "1,234", "0", "3", "5 / 7", "10 / 20", "30", "-", "12")
    assert remarks([ROW]) == ["kill -9: failed, others: 3 x 502 upstream_reset", "kill -9: it was quick"]


def test_the_page_says_where_it_was_made_and_every_cause() -> None:
    text = page(ABOUT, [ROW], workers=4, rate=500.0, latency=0.005)
    for part in (*ABOUT.lines(), "4 workers", "500 requests a second", "| kill -9 | 2 |", "3 x 502 upstream_reset"):
        assert part in text


def test_the_table_in_the_documentation_is_written_anew() -> None:
    once = fill_in(f"# Words\n{MARK}\nold\n", [ROW])
    assert once.startswith(f"# Words\n{MARK}\n\n| event |")
    assert "old" not in once
    assert fill_in(once, [ROW]) == once


def test_raw_figures_survive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.rig.command.RAW", tmp_path)
    file = command.save_raw(ABOUT, [ROW], 4, 500.0)
    assert command.load_raw(file) == (ABOUT, [ROW], argparse.Namespace(workers=4, rate=500.0))
    assert json.loads(file.read_text())["rows"][0]["name"] == "kill"


def test_the_shares_of_the_load_are_the_whole() -> None:
    assert sum(share for share, _ in KINDS.values()) == pytest.approx(1.0)


def test_a_request_says_what_it_is() -> None:
    assert message("GET", 80).startswith(b"GET /load HTTP/1.1\r\n")
    assert b"Connection: close" in message("POST, new connection", 80)
    assert b"Connection" not in message("POST", 80)


@pytest.mark.parametrize(
    ("body", "cause"), [(b'{"reason": "no_route"}', "404 no_route"), (b"no", "404"), (b"[]", "404"), (b"{}", "404")]
)
def test_the_cause_of_a_failure_is_the_gateways_reason(body: bytes, cause: str) -> None:
    assert cause_of(404, body) == cause


@pytest.mark.parametrize(
    ("name", "causes", "is_failed"),
    [
        ("kill", {}, False),
        ("kill", {REFUSED: 1}, True),
        ("restart", {REFUSED: 500}, False),
        ("restart", {REFUSED: 500, "503 no_healthy_instance": 1}, True),
    ],
)
def test_only_refusals_while_nobody_listens_are_no_failure(name: str, causes: dict[str, int], is_failed: bool) -> None:
    assert command.failed_idempotent(replace(ROW, name=name, idempotent=causes)) is is_failed
