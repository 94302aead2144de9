"""The access log's lines, as other programs read them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.worker.access_log import AccessLog
from tests.proxy_harness import World, service
from tests.proxy_messages import get, ok


def _lines(path: Path, style: str, target: bytes, *, answered: bool = True) -> list[str]:
    with World(service(1)) as world:
        log = AccessLog(world.ctx.report)
        log.bind(world.ctx)
        log.use_settings(str(path), style)
        world.ctx.access = log
        client = world.client(get(target))
        world.ctx.now += 0.0125
        if answered:
            world.upstream.send(ok(b"hello"))
        else:
            client.reset()
        log.close()
    return path.read_text().splitlines()


def test_a_line_is_json_that_says_what_happened(tmp_path: Path) -> None:
    (line,) = _lines(tmp_path / "log", "json", b"/a?b=%20")
    record = json.loads(line)
    assert record.pop("time") == "2023-11-14T22:13:20.000Z"
    assert len(record.pop("request_id")) == 32
    assert record == {
        "client": "192.0.2.7",
        "method": "GET",
        "host": "api.example",
        "target": "/a?b=%20",
        "status": 200,
        "bytes_in": 0,
        "bytes_out": 5,
        "duration_ms": 12.5,
        "upstream_ms": 12.5,
        "attempts": 1,
        "instance": "10.0.0.1:80",
        "service": "users",
        "route": "/*",
    }


@pytest.mark.parametrize("target", [b'/a"b', b"/a\\b", b'/"\\"'])
def test_what_a_client_writes_does_not_break_the_json(tmp_path: Path, target: bytes) -> None:
    (line,) = _lines(tmp_path / "log", "json", target)
    assert json.loads(line)["target"] == target.decode()


def test_a_failure_has_its_reason(tmp_path: Path) -> None:
    (line,) = _lines(tmp_path / "log", "json", b"/a", answered=False)
    record = json.loads(line)
    assert (record["status"], record["reason"], record["upstream_ms"]) == (499, "client_closed", None)


def test_a_console_line_is_for_people(tmp_path: Path) -> None:
    (line,) = _lines(tmp_path / "log", "console", b"/a")
    words = line.split()
    assert words[:4] == ["192.0.2.7", "2023-11-14T22:13:20.000Z", '"GET', '/a"']
    assert words[4:10] == ["200", "5", "0.013", "10.0.0.1:80", "users", "-"]
