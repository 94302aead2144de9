"""Requests at routes with a split, access rules, a redirect, or a Host and a path of their own."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from discovery.model import Handling, Share
from gateway.errors import Reason
from gateway.shm.layout import NO_ROUTE_CELL
from gateway.snapshot.model import RouteRecord, ServiceRecord, Standby
from tests.proxy_harness import ROUTE, SETTINGS, World, instance, service
from tests.proxy_messages import GET, get, ok, parse, post

TRUSTING = replace(SETTINGS, trusted_proxies=("10.0.0.0/8",))
PROXY = "10.9.9.9"
THREE = service(3)
OTHER = replace(service(1), name="other", instances=(replace(instance(4), name="other.example"),))


def handling(**options: object) -> RouteRecord:
    return replace(ROUTE, handling=Handling(**options))  # type: ignore[arg-type]  # the keys of Handling


def shares(*parts: tuple[str, Share]) -> list[RouteRecord]:
    return [replace(ROUTE, cell=cell, service=name, share=share) for cell, (name, share) in enumerate(parts, 1)]


def turns(world: World, count: int, request: bytes = GET) -> Counter[str]:
    """Who answered that many requests."""
    client = world.client()
    taken: Counter[str] = Counter()
    for _ in range(count):
        client.send(request)
        (upstream,) = [each for each in world.upstreams if each.received]
        upstream.take()
        taken[upstream.host] += 1
        upstream.send(ok())
        assert parse(client.take()).status == 200
    return taken


def test_services_share_by_their_number_of_instances() -> None:
    with World(THREE, OTHER, routes=shares(("users", Share()), ("other", Share()))) as world:
        assert turns(world, 40)["10.0.0.4"] == 10
        assert world.codes(1) == {200: 30}
        assert world.codes(2) == {200: 10}


def test_a_fraction_is_kept_whatever_the_number_of_instances() -> None:
    with World(THREE, OTHER, routes=shares(("users", Share()), ("other", Share(0.2)))) as world:
        assert turns(world, 50)["10.0.0.4"] == 10


def test_a_part_of_a_service_gets_its_own_instances_only() -> None:
    some = Share(0.5, ("10.0.0.1:80",))
    rest = Share(0.0, ("10.0.0.2:80", "10.0.0.3:80"))
    with World(THREE, routes=shares(("users", some), ("users", rest))) as world:
        assert turns(world, 40) == {"10.0.0.1": 20, "10.0.0.2": 10, "10.0.0.3": 10}


def test_a_part_without_eligible_instances_leaves_its_requests_to_the_others_at_once() -> None:
    with World(THREE, OTHER, routes=shares(("users", Share()), ("other", Share(0.9)))) as world:
        assert turns(world, 20)["10.0.0.4"] == 18
        world.publish(THREE, replace(OTHER, instances=(instance(4, Standby.UNHEALTHY),)))
        assert turns(world, 20)["10.0.0.4"] == 0
        world.publish(service(0), replace(OTHER, instances=(instance(4, Standby.UNHEALTHY),)))
        client = world.client(GET)
        assert parse(client.take()).status == 503


def test_another_attempt_stays_within_the_part() -> None:
    only = Share(0.0, ("10.0.0.1:80", "10.0.0.2:80"))
    with World(THREE, routes=shares(("users", only))) as world:
        world.network.accepts = False
        client = world.client(GET)
        for _ in range(4):
            world.upstream.refuse()
            world.advance(1.0)
        assert {each.host for each in world.upstreams} == {"10.0.0.1", "10.0.0.2"}
        assert parse(client.take()).status == 502


def test_a_route_whose_instances_are_all_gone_answers_503_though_the_service_has_others() -> None:
    with World(THREE, routes=shares(("users", Share(0.0, ("10.0.0.9:80",))))) as world:
        assert parse(world.client(GET).take()).status == 503
        assert world.last.reason is Reason.NO_HEALTHY_INSTANCE


@pytest.mark.parametrize(
    ("options", "target", "line", "host"),
    [
        ({"strip": "/foo"}, b"/foo/bar?q=1", b"GET /bar?q=1 HTTP/1.1", b"api.example"),
        ({"prepend": "/foo"}, b"/bar", b"GET /foo/bar HTTP/1.1", b"api.example"),
        ({"strip": "/foo", "prepend": "/baz"}, b"/foo/bar", b"GET /baz/bar HTTP/1.1", b"api.example"),
        ({"host": "inner.example"}, b"/", b"GET / HTTP/1.1", b"inner.example"),
        ({"host": "dst"}, b"/", b"GET / HTTP/1.1", b"other.example:80"),
    ],
)
def test_what_is_sent_on(options: dict[str, object], target: bytes, line: bytes, host: bytes) -> None:
    route = replace(handling(**options), service="other")
    with World(OTHER, routes=[route]) as world:
        world.client(get(target, b"X-Forwarded-Prefix: /evil"))
        sent = parse(world.upstream.take())
        assert sent.line == line
        assert sent[b"Host"] == host
        assert sent[b"X-Forwarded-Host"] == b"api.example"
        assert sent.all(b"X-Forwarded-Prefix") == ([b"/foo"] if "strip" in options else [])


def test_with_host_dst_every_attempt_has_the_host_of_its_own_instance() -> None:
    with World(service(2), routes=[handling(host="dst")]) as world:
        world.client(get(b"/", version=b"1.0"))
        first = parse(world.upstream.take())
        world.upstream.reset()
        second = parse(world.upstream.take())
        assert {first[b"Host"], second[b"Host"]} == {b"10.0.0.1:80", b"10.0.0.2:80"}


@pytest.mark.parametrize(
    ("rules", "peer", "line", "status"),
    [
        ({"allow": ("192.0.2.0/24",)}, "192.0.2.7", b"X-A: 1", 200),
        ({"allow": ("192.0.2.0/24",)}, "198.51.100.7", b"X-A: 1", 403),
        ({"deny": ("192.0.2.0/24",)}, "192.0.2.7", b"X-A: 1", 403),
        ({"deny": ("192.0.2.0/24",)}, "198.51.100.7", b"X-A: 1", 200),
        ({"allow": ("192.0.2.0/24",)}, "198.51.100.7", b"X-Forwarded-For: 192.0.2.7", 403),
        ({"allow": ("192.0.2.0/24",)}, PROXY, b"X-Forwarded-For: 192.0.2.7", 200),
        ({"allow": ("192.0.2.0/24",)}, PROXY, b"X-Forwarded-For: 192.0.2.7, 198.51.100.7", 403),
        ({"deny": ("192.0.2.0/24",)}, PROXY, b"X-Forwarded-For: 192.0.2.7", 403),
        ({"deny": ("192.0.2.0/24",)}, PROXY, b"X-A: 1", 200),
    ],
)
def test_access_is_by_the_client_behind_trusted_proxies(
    rules: dict[str, object], peer: str, line: bytes, status: int
) -> None:
    with World(routes=[handling(**rules)], settings=TRUSTING) as world:
        client = world.client(get(b"/", line), peer=peer)
        if status == 200:
            world.upstream.send(ok())
        answer = parse(client.take())
        assert answer.status == status
        assert world.codes() == {status: 1}
        if status == 403:
            assert not world.upstreams
            assert b'"reason": "access_denied"' in answer.body
            assert world.last.reason is Reason.ACCESS_DENIED
            assert peer.encode() not in answer.body


def test_each_part_of_a_split_has_its_own_rules() -> None:
    records = shares(("users", Share()), ("other", Share()))
    records[1] = replace(records[1], handling=Handling(deny=("0.0.0.0/0",)))
    with World(service(1), OTHER, routes=records) as world:
        statuses = []
        client = world.client()
        for _ in range(4):
            client.send(GET)
            if any(each.received for each in world.upstreams):
                world.upstream.take()
                world.upstream.send(ok())
            statuses.append(parse(client.take()).status)
        assert sorted(statuses) == [200, 200, 403, 403]


def redirect(location: str, **options: object) -> RouteRecord:
    return handling(redirect=301, location=location, **options)


def test_a_redirect_is_answered_by_the_gateway_and_the_connection_goes_on() -> None:
    with World(routes=[redirect("https://$host/new$path", strip="/old")]) as world:
        client = world.client(get(b"/old/a%20b?c=d"))
        answer = parse(client.take())
        assert answer.line == b"HTTP/1.1 301 Moved Permanently"
        assert answer[b"Location"] == b"https://api.example/new/a%20b?c=d"
        assert answer[b"Content-Length"] == b"0"
        assert answer[b"X-Gateway"] == b"edge"
        assert answer.body == b""
        client.send(GET)
        assert parse(client.take()).status == 301
        assert not world.upstreams
        assert world.codes() == {301: 2}
        assert (world.last.status, world.last.reason) == (301, None)


def test_a_redirect_does_not_wait_for_a_body_and_closes() -> None:
    with World(routes=[redirect("https://example.com/")]) as world:
        client = world.client(post(b"hello")[:-3])
        assert parse(client.take())[b"Connection"] == b"close"


def test_what_is_where_the_redirect_leads_goes_to_the_next_host() -> None:
    routes = [replace(redirect("https://api.example$path"), host="api.example"), replace(ROUTE, cell=2)]
    with World(routes=routes, settings=TRUSTING) as world:
        plain = world.client(get(b"/x?y"), peer=PROXY)
        assert parse(plain.take())[b"Location"] == b"https://api.example/x?y"
        world.client(get(b"/x?y", b"X-Forwarded-Proto: https"), peer=PROXY)
        assert parse(world.upstream.take()).line == b"GET /x?y HTTP/1.1"
        stranger = world.client(get(b"/x?y", b"X-Forwarded-Proto: https"))
        assert parse(stranger.take()).status == 301


def test_where_no_other_host_has_a_route_it_is_404_and_no_endless_redirect() -> None:
    with World(routes=[redirect("http://$host$path")]) as world:
        assert parse(world.client(GET).take()).status == 404


def test_a_redirect_to_the_request_s_host_needs_one() -> None:
    with World(routes=[redirect("https://$host$path")]) as world:
        assert parse(world.client(b"GET / HTTP/1.0\r\n\r\n").take()).status == 400


def test_a_host_with_a_port_is_tried_first() -> None:
    routes = [
        replace(ROUTE, cell=2, host="api.example"),
        replace(redirect("https://example.com/"), host="api.example:8080"),
    ]
    with World(routes=routes) as world:
        world.client(GET)
        world.upstream.send(ok())
        asked = GET.replace(b"api.example", b"API.example:8080")
        assert parse(world.client(asked).take()).status == 301


def test_a_refused_route_is_404_for_all_that_it_was_to_take() -> None:
    routes = [ROUTE, replace(ROUTE, cell=NO_ROUTE_CELL, path="/admin**", service="unknown", is_refused=True)]
    with World(routes=routes) as world:
        assert parse(world.client(get(b"/admin/x")).take()).status == 404
        assert world.last.reason is Reason.NO_ROUTE
        world.client(get(b"/adm"))
        assert parse(world.upstream.take()).line == b"GET /adm HTTP/1.1"


def test_pickers_of_parts_follow_what_becomes_of_their_instances() -> None:
    def users(*out: int) -> ServiceRecord:
        cells = range(1, 4)
        return replace(
            THREE, instances=tuple(instance(n, Standby.DRAINING if n in out else Standby.ELIGIBLE) for n in cells)
        )

    only = Share(0.0, ("10.0.0.1:80", "10.0.0.2:80"))
    with World(users(), routes=shares(("users", only))) as world:
        assert set(turns(world, 6)) == {"10.0.0.1", "10.0.0.2"}
        world.publish(users(1))
        assert set(turns(world, 6)) == {"10.0.0.2"}
        world.publish(users(2))
        assert set(turns(world, 6)) == {"10.0.0.1"}
