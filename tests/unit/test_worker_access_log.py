"""The access log's lines, as other programs read them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.config.log_model import ACCESS_FIELDS
from gateway.snapshot.model import RouteRecord
from gateway.worker.access_fields import FIELDS
from gateway.worker.access_log import AccessLog
from tests.proxy_harness import ROUTE, SETTINGS, World, service
from tests.proxy_messages import get, ok

Play = Callable[[World], None]
AGENT = (b'User-Agent: a "quoted" \\ agent', b"Referer: http://there.example/")


def answered(request: bytes) -> Play:
    def play(world: World) -> None:
        world.client(request)
        world.ctx.now += 0.0125
        world.upstream.send(ok(b"hello"))

    return play


def lines(
    path: Path,
    play: Play,
    *,
    style: str = "json",
    fields: Sequence[str] = (),
    instances: int = 1,
    route: RouteRecord = ROUTE,
) -> list[str]:
    """What is logged while `play` runs."""
    settings = replace(SETTINGS, access_log=str(path / "log"), access_format=style, access_fields=tuple(fields))
    with World(service(instances), routes=(route,)) as world:
        log = AccessLog(world.ctx.report)
        log.bind(world.ctx)
        log.use_settings(settings)
        world.ctx.access = log
        play(world)
        log.close()
    return (path / "log").read_text().splitlines()


def only(found: list[str]) -> dict[str, Any]:
    (line,) = found
    record: dict[str, Any] = json.loads(line)
    return record


def test_a_line_is_json_that_says_what_happened(tmp_path: Path) -> None:
    record = only(lines(tmp_path, answered(get(b"/a?b=%20"))))
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
@pytest.mark.parametrize("fields", [(), ("target",)])
def test_what_a_client_writes_does_not_break_the_json(tmp_path: Path, target: bytes, fields: Sequence[str]) -> None:
    assert only(lines(tmp_path, answered(get(target)), fields=fields))["target"] == target.decode()


def left(world: World) -> None:
    world.client(get(b"/a")).reset()


def test_a_failure_has_its_reason_and_the_attempt_it_ended(tmp_path: Path) -> None:
    record = only(lines(tmp_path, left))
    assert (record["status"], record["reason"], record["upstream_ms"]) == (499, "client_closed", None)
    assert record["tries"] == [{"instance": "10.0.0.1:80", "outcome": "client_closed", "ms": 0.0, "connect_ms": 0.0}]


def retried(world: World) -> None:
    world.client(get(b"/a"))
    world.upstreams[0].reset()
    world.upstreams[1].send(ok(b"hello"))


def test_every_attempt_of_a_repeated_request_is_listed(tmp_path: Path) -> None:
    record = only(lines(tmp_path, retried, instances=2))
    assert (record["status"], record["attempts"]) == (200, 2)
    assert [(each["instance"], each["outcome"]) for each in record["tries"]] == [
        ("10.0.0.1:80", "upstream_reset"),
        ("10.0.0.2:80", "200"),
    ]


def test_a_console_line_is_for_people(tmp_path: Path) -> None:
    (line,) = lines(tmp_path, answered(get(b"/a")), style="console")
    words = line.split()
    assert words[:4] == ["192.0.2.7", "2023-11-14T22:13:20.000Z", '"GET', '/a"']
    assert words[4:10] == ["200", "5", "0.013", "10.0.0.1:80", "users", "-"]


def test_the_combined_form_is_that_of_nginx_and_apache(tmp_path: Path) -> None:
    (line,) = lines(tmp_path, answered(get(b"/a?b", *AGENT)), style="combined")
    assert line == (
        '192.0.2.7 - - [14/Nov/2023:22:13:20 +0000] "GET /a?b HTTP/1.1" 200 5 '
        r'"http://there.example/" "a \x22quoted\x22 \x5C agent"'
    )


def refused(world: World) -> None:
    world.client(b"GET / HTTP/1.1\r\n\r\n")  # no Host


def nowhere(world: World) -> None:
    world.client(get(b"/b"))


@pytest.mark.parametrize("play", [answered(get(b"/a")), retried, left, refused, nowhere])
@pytest.mark.parametrize(("style", "fields"), [("combined", ()), ("console", ()), ("json", ACCESS_FIELDS)])
def test_every_form_has_a_line_for_every_end(tmp_path: Path, style: str, fields: Sequence[str], play: Play) -> None:
    route = replace(ROUTE, path="/a")
    (line,) = lines(tmp_path, play, style=style, fields=fields, instances=2, route=route)
    if fields:
        assert tuple(json.loads(line)) == ACCESS_FIELDS


def test_chosen_fields_say_the_same_as_the_usual_line(tmp_path: Path) -> None:
    usual = only(lines(tmp_path, answered(get(b"/a"))))
    (tmp_path / "log").unlink()
    record = only(lines(tmp_path, answered(get(b"/a", *AGENT)), fields=(*usual, "user_agent", "path", "protocol")))
    assert record.pop("user_agent") == 'a "quoted" \\ agent'
    assert (record.pop("path"), record.pop("protocol")) == ("/a", "HTTP/1.1")
    assert list(record) == list(usual)
    assert {**record, "request_id": ""} == {**usual, "request_id": ""}


def test_the_trace_is_the_one_that_is_forwarded(tmp_path: Path) -> None:
    parent = b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    record = only(lines(tmp_path, answered(get(b"/a", parent)), fields=("trace_id",)))
    assert record == {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}


def test_every_field_that_the_configuration_knows_can_be_written() -> None:
    assert set(FIELDS) == set(ACCESS_FIELDS)


def many(world: World) -> None:
    for _ in range(1000):
        answered(get(b"/a"))(world)


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.25, 150, 350), (1.0, 1000, 1000)])
def test_a_route_logs_its_share_of_what_went_well(tmp_path: Path, share: float, least: int, most: int) -> None:
    assert least <= len(lines(tmp_path, many, route=replace(ROUTE, log_sample=share))) <= most


@pytest.mark.parametrize("play", [retried, left])
def test_what_failed_or_was_repeated_is_always_logged(tmp_path: Path, play: Play) -> None:
    assert len(lines(tmp_path, play, instances=2, route=replace(ROUTE, log_sample=0.0))) == 1
