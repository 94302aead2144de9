"""The access log's way out: what cannot be written is dropped and counted, and costs no other line."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.worker.log_sink import BACK_OFF, SAY_EVERY, LogSink


class Reports:
    """What the sink told the supervisor."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def __call__(self, level: str, event: str, **fields: object) -> None:
        self.events.append((event, fields))


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
def sink(reports: Reports) -> Iterator[LogSink]:
    made = LogSink(reports)
    yield made
    made.close()


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Files may grow to `size` bytes only: a write past it is cut short, the next one fails (as on a full disk)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))  # SIGXFSZ is ignored by Python
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_write_cut_short_costs_its_own_line_alone(sink: LogSink, reports: Reports, tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink.open(str(path))
    with room_for(25):
        sink.write([b"1234567890\n", b"abcdefghij\n", b"ABCDEFGHIJ\n"], 0.0)
        assert path.read_bytes() == b"1234567890\nabcdefghij\nABC"
        assert sink.dropped == 1
        sink.write([b"lost\n"], 1.0)
    sink.write([b"whole\n"], 2.0)
    sink.write([b"too\n"], 2.1)
    assert path.read_bytes() == b"1234567890\nabcdefghij\nABC\nwhole\ntoo\n"
    assert sink.dropped == 2
    assert [event for event, _ in reports.events] == ["access log lines dropped"]


def test_half_a_line_that_another_worker_left_is_ended_as_well(sink: LogSink, tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink.open(str(path))
    with room_for(11):
        sink.write([b"1234567890\n"], 0.0)
        sink.write([b"lost\n"], 1.0)
    with path.open("ab") as other:
        other.write(b'{"half')
    sink.write([b"whole\n"], 2.0)
    assert path.read_bytes() == b'1234567890\n{"half\nwhole\n'


def test_a_failure_without_half_a_line_leaves_no_empty_line(sink: LogSink, tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink.open(str(path))
    with room_for(11):
        sink.write([b"1234567890\n"], 0.0)
        sink.write([b"lost\n"], 1.0)
    sink.write([b"whole\n"], 2.0)
    assert path.read_bytes() == b"1234567890\nwhole\n"


def test_what_a_full_device_does_not_take_is_counted_line_by_line(sink: LogSink) -> None:
    sink.open("/dev/full")
    sink.write([b"a\n", b"b\n"], 0.0)
    assert sink.dropped == 2


def test_a_file_is_not_tried_again_at_once(sink: LogSink, tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink.open(str(path))
    with room_for(2):
        sink.write([b"a\n"], 0.0)
        sink.write([b"b\n"], 0.0)
    sink.write([b"c\n"], BACK_OFF / 2)
    sink.write([b"d\n"], BACK_OFF)
    assert path.read_bytes() == b"a\nd\n"
    assert sink.dropped == 2


def test_drops_are_said_at_once_and_then_seldom(sink: LogSink, reports: Reports) -> None:
    sink.open("/dev/full")
    for tenth in range(int(SAY_EVERY) * 10 + 1):
        sink.write([b"a\n"], tenth / 10)
    said = [(fields["lines"], fields["lines_total"]) for _, fields in reports.events]
    assert said == [(1, 1), (100, 101)]
    assert "No space left" in str(reports.events[0][1]["error"])


def test_a_stalled_reader_of_a_fifo_is_not_waited_for(sink: LogSink, tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        sink.open(str(path))
        line = b"x" * 999 + b"\n"
        for _ in range(200):
            sink.write([line], 0.0)
        kept = 200 - sink.dropped
        assert 0 < kept < 200
        assert os.read(reader, 1 << 20) == line * kept  # whole lines, and it goes on once there is room
        sink.write([b"again\n"], 0.0)
        assert os.read(reader, 100) == b"again\n"
    finally:
        os.close(reader)


def test_a_fifo_that_nobody_reads_yet_is_written_once_somebody_does(
    sink: LogSink, reports: Reports, tmp_path: Path
) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    sink.open(str(path))
    sink.write([b"lost\n"], 0.0)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        sink.write([b"read\n"], BACK_OFF)
        assert os.read(reader, 100) == b"read\n"
    finally:
        os.close(reader)
    assert sink.dropped == 1
    assert [event for event, _ in reports.events] == ["access log cannot be opened", "access log lines dropped"]
