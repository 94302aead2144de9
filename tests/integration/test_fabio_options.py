"""Fabio's tags in a real Consul, its documentation's examples among them, through a real gateway."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.backends import Backend, start_backend
from tests.consul import ConsulServer
from tests.gateways import RunningGateway, start_gateway

CONFIG = """
[gateway]
trusted_proxies = ["127.0.0.0/8"]
"""
PROBES = "gw.health.interval=0.5"
MAIN = (
    "urlprefix-/",
    "urlprefix-/css",
    "urlprefix-i.com/static",
    "urlprefix-mysite.com/",
    "urlprefix-*.example.com/",
    "urlprefix-example.com:8080/",
    "urlprefix-/foo/bar strip=/foo",
    "urlprefix-/bar prepend=/foo",
    "urlprefix-/baz/bar prepend=/new strip=/baz",
    "urlprefix-/dst host=dst proto=http",
    "urlprefix-/named host=inner.example",
    "urlprefix-/path redirect=301,https://www.google.com/",
    "urlprefix-/moved redirect=303,https://www.foo.com$path",
    "urlprefix-secure.com/ redirect=301,https://$host$path",
    "urlprefix-/allowed allow=ip:192.168.1.0/24,ip:fe80::/10",
    "urlprefix-/denied deny=ip:fe80::1234,100.123.0.0/16",
)
REFUSED = (
    "urlprefix-/tls proto=https",
    "urlprefix-/tls/insecure proto=https tlsskipverify=true",
    "urlprefix-:3306 proto=tcp",
    "urlprefix-:3306 proto=tcp pxyproto=true",
    "urlprefix-/my.service/Method proto=grpc",
    "urlprefix-/admin auth=basic",
    "urlprefix-/both allow=ip:10.0.0.0/8 deny=ip:10.1.0.0/16",
    "urlprefix-/registered register=other",
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningGateway, Backend]]:
    """A gateway in front of service `web` with all the tags, and of `css`, which has a longer prefix."""
    with ExitStack() as stack:
        consul = stack.enter_context(ConsulServer())
        web, css = stack.enter_context(start_backend("web")), stack.enter_context(start_backend("css"))
        consul.register("web", web.port, tags=[*MAIN, *REFUSED, PROBES])
        consul.register("css", css.port, tags=["urlprefix-/css/main", PROBES])
        consul.register("by-name", web.port, address="localhost", tags=["urlprefix-/by-name host=dst", PROBES])
        folder: Path = tmp_path_factory.mktemp("fabio")
        gateway = stack.enter_context(start_gateway(folder, CONFIG, arguments=["--consul", consul.address]))
        targets = ("/", "/css/main", "/by-name")
        gateway.wait_until(lambda: [gateway.get(target).status for target in targets] == [200] * 3)
        yield gateway, web


def sent_on(gateway: RunningGateway, target: str, host: str = "any.example", **headers: str) -> dict[str, Any]:
    """What the instance received."""
    fields = {"Host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    answer = gateway.get(target, fields)
    assert answer.status == 200, answer
    echo: dict[str, Any] = json.loads(answer.body)
    echo["headers"] = {name.lower(): value for name, value in echo["headers"]}
    return echo


@pytest.mark.parametrize(
    ("host", "target", "name"),
    [
        ("any.example", "/css", "web"),
        ("any.example", "/css/mai", "web"),
        ("any.example", "/css/main", "css"),
        ("any.example", "/css/mainly", "css"),
        ("i.com", "/static/x", "web"),
        ("MySite.com", "/css/main", "web"),
        ("mysite.com:1234", "/css/main", "web"),
        ("a.b.example.com", "/css/main", "web"),
        ("example.com:8080", "/css/main", "web"),
        ("example.com", "/css/main", "css"),
        ("i.com", "/css/main", "css"),
    ],
)
def test_host_first_then_the_longest_prefix(
    world: tuple[RunningGateway, Backend], host: str, target: str, name: str
) -> None:
    assert sent_on(world[0], target, host)["name"] == name


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        ("/foo/bar", "/bar"),
        ("/foo/barn?x=1", "/barn?x=1"),
        ("/foo/other", "/foo/other"),
        ("/bar/x", "/foo/bar/x"),
        ("/baz/bar", "/new/bar"),
    ],
)
def test_strip_and_prepend(world: tuple[RunningGateway, Backend], target: str, wanted: str) -> None:
    echo = sent_on(world[0], target)
    assert echo["target"] == wanted
    assert echo["headers"].get("x-forwarded-prefix") == {"/foo/bar": "/foo", "/baz/bar": "/baz"}.get(target[:8])


def test_host_dst_and_host_name(world: tuple[RunningGateway, Backend]) -> None:
    gateway, web = world
    assert sent_on(gateway, "/dst", "a.org")["headers"]["host"] == web.address
    assert sent_on(gateway, "/by-name", "a.org")["headers"]["host"] == f"localhost:{web.port}"
    assert sent_on(gateway, "/named", "a.org")["headers"]["host"] == "inner.example"
    assert sent_on(gateway, "/named", "a.org")["headers"]["x-forwarded-host"] == "a.org"
    assert sent_on(gateway, "/else", "a.org")["headers"]["host"] == "a.org"


@pytest.mark.parametrize(
    ("host", "target", "status", "location"),
    [
        ("any.example", "/path/x?y", 301, "https://www.google.com/"),
        ("any.example", "/moved/x?y", 303, "https://www.foo.com/moved/x?y"),
        ("secure.com", "/a?b=c", 301, "https://secure.com/a?b=c"),
    ],
)
def test_redirects(world: tuple[RunningGateway, Backend], host: str, target: str, status: int, location: str) -> None:
    answer = world[0].get(target, {"Host": host})
    assert (answer.status, answer.headers["location"], answer.body) == (status, location, b"")


def test_a_redirect_to_https_is_over_once_the_proxy_in_front_speaks_it(world: tuple[RunningGateway, Backend]) -> None:
    assert sent_on(world[0], "/a", "secure.com", X_Forwarded_Proto="https")["target"] == "/a"


@pytest.mark.parametrize(
    ("target", "client", "status"),
    [
        ("/allowed", "192.168.1.7", 200),
        ("/allowed", "fe80::7", 200),
        ("/allowed", "192.168.2.7", 403),
        ("/allowed", "", 403),
        ("/denied", "100.123.4.5", 403),
        ("/denied", "fe80::1234", 403),
        ("/denied", "fe80::1235", 200),
        ("/denied", "", 200),
    ],
)
def test_access_by_address(world: tuple[RunningGateway, Backend], target: str, client: str, status: int) -> None:
    gateway, _ = world
    answer = gateway.get(target, {"X-Forwarded-For": client} if client else {})
    assert answer.status == status
    if status == 403:
        assert json.loads(answer.body)["reason"] == "access_denied"
        request_id = answer.headers["x-request-id"]
        gateway.wait_until(lambda: any(request_id in line for line in gateway.access))
        (line,) = (json.loads(each) for each in gateway.access if request_id in each)
        assert (line["reason"], line["route"], line["client"]) == (
            "access_denied",
            f"{target}**",
            client or "127.0.0.1",
        )


def test_denials_are_counted_with_their_route(world: tuple[RunningGateway, Backend]) -> None:
    gateway, _ = world
    assert gateway.get("/allowed").status == 403
    wanted = b'gw_requests_total{code="403",route="/allowed**",service="web"}'
    gateway.wait_until(lambda: wanted in gateway.admin_get("/metrics").body)


@pytest.mark.parametrize("target", ["/tls", "/my.service/Method", "/admin", "/admin/x", "/administrator", "/both"])
def test_what_cannot_be_honoured_is_closed_and_not_left_to_a_shorter_prefix(
    world: tuple[RunningGateway, Backend], target: str
) -> None:
    gateway, web = world
    before = web.stats()["paths"].get(target, 0)
    assert gateway.get(target).status == 404
    assert web.stats()["paths"].get(target, 0) == before


def test_every_refusal_is_named_and_costs_nothing_else(world: tuple[RunningGateway, Backend]) -> None:
    gateway, web = world
    problems = [problem["origin"] for problem in gateway.status()["problems"]]
    assert sorted(problems) == sorted(f"tag: service web, instance web-{web.port}, tag {tag}" for tag in REFUSED)
    routes = json.loads(gateway.admin_get("/api/routes").body)["routes"]
    assert len([route for route in routes if route["service"] == "web"]) == len(MAIN)
    (stripped,) = [route for route in routes if route["path"] == "/foo/bar**"]
    assert stripped["options"] == "strip=/foo"


def test_connect_says_what_is_allowed(world: tuple[RunningGateway, Backend]) -> None:
    connection = http.client.HTTPConnection(world[0].listen, timeout=10)
    try:
        connection.request("CONNECT", "example.com:443")
        response = connection.getresponse()
        assert (response.status, "GET" in (response.getheader("Allow") or "")) == (405, True)
    finally:
        connection.close()
