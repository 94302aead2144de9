"""What the access log says of who asked, and of requests that the gateway answers itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from discovery.model import Handling
from gateway.snapshot.model import RouteRecord
from gateway.worker.access_log import AccessLog
from tests.proxy_harness import PEER, ROUTE, SETTINGS, World
from tests.proxy_messages import GET, get, ok

TRUSTING = replace(SETTINGS, trusted_proxies=("10.0.0.0/8",))
PROXY = "10.9.9.9"


def lines(
    path: Path, request: bytes, peer: str, *, routes: Sequence[RouteRecord] = (ROUTE,), style: str = "json"
) -> list[str]:
    """The lines of one request."""
    with World(routes=routes, settings=TRUSTING) as world:
        log = AccessLog(lambda level, event, **fields: None)
        log.bind(world.ctx)
        log.use_settings(replace(TRUSTING, access_log=str(path / "access.log"), access_format=style))
        world.ctx.access = log
        client = world.client(request, peer=peer)
        if world.upstreams:
            world.upstream.send(ok())
        client.reset()
        log.close()
    return (path / "access.log").read_text().splitlines()


def only(found: list[str]) -> dict[str, Any]:
    (line,) = found
    entry: dict[str, Any] = json.loads(line)
    return entry


@pytest.mark.parametrize("target", [b"/", b"/none"])
def test_the_client_is_the_peer_and_said_once(tmp_path: Path, target: bytes) -> None:
    line = only(lines(tmp_path, get(target, b"X-Forwarded-For: 192.0.2.1"), PEER, routes=[replace(ROUTE, path="/")]))
    assert line["client"] == PEER
    assert "peer" not in line


@pytest.mark.parametrize("target", [b"/", b"/none"])
def test_behind_a_trusted_proxy_the_client_is_who_it_says_and_the_proxy_the_peer(tmp_path: Path, target: bytes) -> None:
    request = get(target, b"X-Forwarded-For: 192.0.2.1, 198.51.100.7, 10.1.1.1")
    line = only(lines(tmp_path, request, PROXY, routes=[replace(ROUTE, path="/")]))
    assert (line["client"], line["peer"]) == ("198.51.100.7", PROXY)
    assert line["status"] == (200 if target == b"/" else 404)


def test_a_trusted_proxy_that_says_nothing_is_the_client(tmp_path: Path) -> None:
    line = only(lines(tmp_path, GET, PROXY))
    assert line["client"] == PROXY
    assert "peer" not in line


def test_of_what_could_not_be_understood_only_the_peer_is_known(tmp_path: Path) -> None:
    assert only(lines(tmp_path, b"nonsense\r\n\r\n", PROXY))["client"] == PROXY


def test_lines_for_people_begin_with_the_client(tmp_path: Path) -> None:
    (line,) = lines(tmp_path, get(b"/", b"X-Forwarded-For: 192.0.2.1"), PROXY, style="console")
    assert line.startswith("192.0.2.1 ")


def test_what_a_route_refuses_or_redirects_is_written_with_the_route(tmp_path: Path) -> None:
    denied = replace(ROUTE, handling=Handling(deny=("192.0.2.0/24",)))
    line = only(lines(tmp_path, get(b"/", b"X-Forwarded-For: 192.0.2.1"), PROXY, routes=[denied]))
    assert (line["status"], line["reason"], line["route"], line["service"]) == (403, "access_denied", "/*", "users")
    assert line["detail"] == "client 192.0.2.1 is not allowed by the route's rules"
    (tmp_path / "access.log").unlink()
    moved = replace(ROUTE, handling=Handling(redirect=308, location="https://example.com/"))
    line = only(lines(tmp_path, GET, PEER, routes=[moved]))
    assert (line["status"], line["route"], line["attempts"]) == (308, "/*", 0)
    assert "reason" not in line
