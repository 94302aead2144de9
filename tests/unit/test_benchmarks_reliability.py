"""The reliability benchmark: which failures had to be, what the table says, what counts as left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.events.client import Report
from benchmarks.reliability import leaks
from benchmarks.reliability.figures import Loss, Row, refusals, sort_failures
from benchmarks.reliability.host import environment
from benchmarks.reliability.page import HEADINGS, MARK, fill_in, table, words
from benchmarks.rig.about import About

LOST = "kept connection lost: ConnectionResetError"
ABOUT = About("2026-01-01 00:00 UTC", "cpu, 2 cores", "Linux 1", ("gw 1", "Consul v1"), 0.5)


@pytest.mark.parametrize(
    ("began", "ended", "cause", "is_lost"),
    [
        (9.9, 10.1, LOST, True),  # in flight when it was killed
        (10.2, 10.3, LOST, True),  # written before the client could know
        (10.4, 10.5, LOST, False),  # sent afterwards
        (9.0, 9.9, LOST, False),  # over before
        (9.9, 10.1, "503 no_healthy_instance", False),  # an answer is not a lost connection
    ],
)
def test_only_what_was_in_flight_on_a_killed_worker_had_to_be_lost(
    began: float, ended: float, cause: str, is_lost: bool
) -> None:
    lost, failed = sort_failures(Report(failures=[(began, ended, "GET", cause)]), [Loss(10.0, 10.0)])
    assert (sum(lost.values()), sum(failed.values())) == ((1, 0) if is_lost else (0, 1))


def test_what_several_loads_saw_adds_up() -> None:
    row = Row("kill", "a kill", "until it serves")
    for _ in range(2):
        row.count(Report(failures=[(1.0, 1.1, "GET", "502 x")], latencies=[0.01, 0.2]), ())
    assert row.failed == {"GET: 502 x": 2}
    assert row.slowest_ms == pytest.approx(200)


def test_refusals_are_what_the_gateway_itself_failed() -> None:
    lines = (
        '{"status":200,"reason":"client_closed"}\n',
        '{"status":503}\n',  # the instance's own
        '{"status":504,"reason":"response_timeout","attempts":1}\n',
        '{"status":504,"reas',
    )
    assert refusals(lines) == [{"status": 504, "reason": "response_timeout", "attempts": 1}]


def test_the_table_is_written_behind_its_mark() -> None:
    row = Row(
        "kill", "a kill", "until it serves", repeated=2, sent=1000, recovery_ms=[1.0, 3.0], leaks=["processes [1]"]
    )
    assert len(words(row)) == len(HEADINGS)
    text = table(ABOUT, [row], workers=4, rate=300)
    assert "| a kill | 2 | 1,000 | 0 | 0 | 1 / 3 | 0 | 1 |" in text
    assert "left behind: processes [1]" in text
    once = fill_in(f"# Words\n{MARK}\nold\n", text)
    assert "old" not in once
    assert fill_in(once, text) == once


def test_a_process_of_a_run_is_found_wherever_it_is_in_the_tree() -> None:
    code = "import sys; print('up', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment(leaks.MARK, "this-run", {"PATH": os.environ["PATH"]}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert leaks.marked("this-run") == {process.pid}
        assert leaks.marked("another") == set()
        process.kill()
        wait_for_zombie(process.pid)
        assert leaks.zombies([os.getpid()]) == [process.pid]
    assert leaks.zombies([os.getpid()]) == []


def wait_for_zombie(pid: int) -> None:
    """Returns once the process has ended; it is not waited for."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert Path(f"/proc/{pid}").exists()
