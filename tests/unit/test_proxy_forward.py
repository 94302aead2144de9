"""What a message looks like once it has been forwarded: fields kept, dropped and added, both ways."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.proxy_harness import PEER, ROUTE, SETTINGS, World, service
from tests.proxy_messages import GET, Message, get, ok, parse, post

TRACE = b"0af7651916cd43dd8448eb211c80319c"
SPAN = b"b7ad6b7169203331"


def forwarded(world: World, request: bytes, peer: str = PEER) -> Message:
    """The request as an instance receives it."""
    client = world.client(request, peer=peer)
    received = parse(world.upstream.take())
    world.upstream.send(ok())
    assert parse(client.take()).status == 200
    return received


def answered(world: World, response: bytes, request: bytes = GET) -> Message:
    """The response as the client receives it."""
    client = world.client(request)
    world.upstream.send(response)
    return parse(client.take())


def test_a_plain_get_is_forwarded_byte_for_byte() -> None:
    lines = (
        b"accept: */*",
        b"X-B:  two ",
        b"X-b: again",
        b"Cookie: a=1",
        b"X-Empty:",
        b"X-A: \xff;\t1",
        b"cookie: b=2",
    )
    with World() as world:
        client = world.client(get(b"/a//b/%7e?q=%20&q", *lines))
        sent = world.upstream.take()
        assert sent.startswith(
            b"GET /a//b/%7e?q=%20&q HTTP/1.1\r\nHost: api.example\r\n" + b"\r\n".join(lines) + b"\r\n"
        )
        world.upstream.send(ok(b"ok", b"x-b: 1", b"Set-Cookie: a", b"set-cookie: b", b"Date: today"))
        received = client.take()
        assert received.startswith(b"HTTP/1.1 200 OK\r\nx-b: 1\r\nSet-Cookie: a\r\nset-cookie: b\r\nDate: today\r\n")
        assert received.endswith(b"\r\n\r\nok")


def test_what_the_gateway_adds_comes_once() -> None:
    with World() as world:
        request = forwarded(world, GET)
        assert request[b"X-Forwarded-For"] == PEER.encode()
        assert request[b"X-Forwarded-Proto"] == b"http"
        assert request[b"X-Forwarded-Host"] == b"api.example"
        assert request[b"Via"] == b"1.1 edge"
        assert re.fullmatch(rb"[0-9a-f]{32}", request[b"X-Request-ID"])
        assert re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-01", request[b"traceparent"])
        assert len(request.fields) == 7


@pytest.mark.parametrize(
    "line",
    [
        b"Connection: close, X-Mine\r\nX-Mine: 1",
        b"Keep-Alive: timeout=5",
        b"Proxy-Connection: keep-alive",
        b"TE: gzip",
        b"Trailer: X-Sum",
        b"Upgrade: websocket",
        b"HTTP2-Settings: AAMAAABkAAQAAP__",
    ],
)
def test_hop_by_hop_fields_of_a_request_are_dropped(line: bytes) -> None:
    with World() as world:
        plain = forwarded(world, GET)
        request = forwarded(world, get(b"/", line, b"X-Kept: 1"))
        names = [name.lower() for name, _ in request.fields if name != b"X-Kept"]
        assert names == [name.lower() for name, _ in plain.fields]


def test_hop_by_hop_fields_of_a_response_are_dropped() -> None:
    lines = (b"Connection: X-Mine", b"X-Mine: 1", b"Keep-Alive: timeout=5", b"Proxy-Connection: close", b"Trailer: X")
    with World() as world:
        response = answered(world, ok(b"ok", *lines, b"X-Kept: 1"))
        assert [name for name, _ in response.fields] == [b"X-Kept", b"Content-Length", b"X-Gateway", b"X-Request-ID"]


def test_a_client_cannot_have_fields_dropped_that_it_must_not_nominate() -> None:
    nominated = b"Connection: Host, Content-Length, X-Forwarded-For, Authorization, Cookie"
    with World() as world:
        request = forwarded(world, post(b"hello", nominated, b"Authorization: Basic eA==", b"Cookie: a=1"))
        assert request[b"Content-Length"] == b"5"
        assert request[b"Host"] == b"api.example"
        assert request[b"X-Forwarded-For"] == PEER.encode()
        assert request[b"Authorization"] == b"Basic eA=="
        assert request[b"Cookie"] == b"a=1"
        assert request.body == b"hello"


def test_a_sane_request_id_is_kept_to_the_instance_and_back() -> None:
    with World() as world:
        client = world.client(get(b"/", b"X-Request-ID: order-7/a"))
        assert parse(world.upstream.take())[b"X-Request-ID"] == b"order-7/a"
        world.upstream.send(ok(b"ok", b"X-Request-ID: of-the-instance", b"X-Gateway: other"))
        response = parse(client.take())
        assert response[b"X-Request-ID"] == b"order-7/a"
        assert response[b"X-Gateway"] == b"edge"


@pytest.mark.parametrize("value", [b"", b"a b", b"a,b", b"x" * 129, b'a"b', b"one\r\nX-Request-ID: two"])
def test_any_other_request_id_is_replaced(value: bytes) -> None:
    with World() as world:
        request = forwarded(world, get(b"/", b"X-Request-ID: " + value))
        assert re.fullmatch(rb"[0-9a-f]{32}", request[b"X-Request-ID"])


@pytest.mark.parametrize("flags", [b"00", b"01", b"02", b"03"])
def test_a_trace_goes_on_as_it_came_when_nothing_is_recorded_here(flags: bytes) -> None:
    parent = b"00-%b-%b-%b" % (TRACE, SPAN, flags)
    with World() as world:
        request = forwarded(world, get(b"/", b"traceparent: " + parent, b"tracestate: a=1"))
        assert request[b"traceparent"] == parent
        assert request[b"tracestate"] == b"a=1"


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (b"cc-%b-%b-01" % (TRACE, SPAN), b"01"),
        (b"cc-%b-%b-01-more" % (TRACE, SPAN), b"01"),
        (b"00-%b-%b-ff" % (TRACE, SPAN), b"03"),
        (b"00-%b-%b-fc" % (TRACE, SPAN), b"00"),
    ],
)
def test_what_a_later_version_adds_is_not_passed_on(value: bytes, read: bytes) -> None:
    with World() as world:
        request = forwarded(world, get(b"/", b"traceparent: " + value))
        assert request[b"traceparent"] == b"00-%b-%b-%b" % (TRACE, SPAN, read)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"00-%b-%b" % (TRACE, SPAN),
        b"ff-%b-%b-01" % (TRACE, SPAN),
        b"00-%b-%b-01" % (b"0" * 32, SPAN),
        b"00-%b-%b-01" % (TRACE, b"0" * 16),
        b"00-%b-%b-01-more" % (TRACE, SPAN),
        b"cc-%b-%b-01more" % (TRACE, SPAN),
        b"00-%b-%b-01" % (TRACE.upper(), SPAN),
    ],
)
def test_a_trace_that_cannot_be_continued_is_started_anew_with_the_request_s_id(value: bytes) -> None:
    with World() as world:
        request = forwarded(world, get(b"/", b"traceparent: " + value))
        version, trace, _, flags = request[b"traceparent"].split(b"-")
        assert (version, trace, flags) == (b"00", request[b"X-Request-ID"], b"01")


@pytest.mark.parametrize(
    "lines",
    [
        (b"Tracestate: a=1",),
        (b"traceparent: nonsense", b"tracestate: a=1"),
        (b"traceparent: 00-%b-%b-01" % (TRACE, SPAN), b"traceparent: 00-%b-%b-01" % (TRACE, SPAN), b"tracestate: a=1"),
    ],
)
def test_the_state_of_a_trace_that_is_not_continued_is_dropped(lines: tuple[bytes, ...]) -> None:
    with World() as world:
        assert b"tracestate" not in forwarded(world, get(b"/", *lines))


def test_the_state_of_a_trace_may_come_in_several_fields() -> None:
    lines = (b"tracestate: a=1", b"traceparent: 00-%b-%b-00" % (TRACE, SPAN), b"Tracestate: b=2,c=3")
    with World() as world:
        assert forwarded(world, get(b"/", *lines))[b"tracestate"] == b"a=1, b=2,c=3"


def test_every_request_of_a_connection_has_its_own_ids() -> None:
    with World() as world:
        client = world.client(GET)
        first = parse(world.upstream.take())
        world.upstream.send(ok())
        client.send(GET)
        second = parse(world.upstream.take())
        assert first[b"X-Request-ID"] != second[b"X-Request-ID"]
        assert first[b"traceparent"] != second[b"traceparent"]


def test_via_is_continued() -> None:
    with World() as world:
        request = forwarded(world, get(b"/", b"Via: 1.0 fred", b"via: 1.1 p.example"))
        assert request[b"Via"] == b"1.0 fred, 1.1 p.example, 1.1 edge"


def test_x_forwarded_of_a_stranger_is_not_believed() -> None:
    lines = (b"X-Forwarded-For: 10.1.1.1", b"X-Forwarded-Proto: https", b"X-Forwarded-Host: evil", b"Forwarded: for=1")
    with World() as world:
        request = forwarded(world, get(b"/", *lines, b"X-Real-IP: 10.1.1.1"))
        assert request[b"X-Forwarded-For"] == PEER.encode()
        assert request[b"X-Forwarded-Proto"] == b"http"
        assert request[b"X-Forwarded-Host"] == b"api.example"
        assert b"Forwarded" not in request
        assert b"X-Real-IP" not in request


def test_x_forwarded_of_a_trusted_proxy_is_continued() -> None:
    settings = replace(SETTINGS, trusted_proxies=("10.0.0.0/8",))
    lines = (b"X-Forwarded-For: 203.0.113.9", b"X-Forwarded-Proto: https", b"X-Forwarded-Host: shop.example")
    with World(settings=settings) as world:
        request = forwarded(world, get(b"/", *lines, b"x-forwarded-for: 10.9.9.9"), peer="10.0.0.1")
        assert request[b"X-Forwarded-For"] == b"203.0.113.9, 10.9.9.9, 10.0.0.1"
        assert request[b"X-Forwarded-Proto"] == b"https"
        assert request[b"X-Forwarded-Host"] == b"shop.example"
        assert forwarded(world, get(b"/", *lines))[b"X-Forwarded-For"] == PEER.encode()


def test_headers_of_the_route_replace_the_client_s() -> None:
    route = replace(ROUTE, headers=(("X-Tenant", "a"), ("X-Gateway-Version", "1.0.0")))
    with World(routes=[route]) as world:
        request = forwarded(world, get(b"/", b"x-tenant: forged", b"X-Tenant: twice", b"X-Other: 1"))
        assert request.all(b"x-tenant") == [b"a"]
        assert request[b"X-Gateway-Version"] == b"1.0.0"
        assert request[b"X-Other"] == b"1"


def test_the_route_s_fields_follow_the_route_on_one_connection() -> None:
    routes = [replace(ROUTE, headers=(("X-R", "all"),)), replace(ROUTE, cell=2, path="/b", headers=(("X-R", "b"),))]
    with World(routes=routes) as world:
        client = world.client()
        seen = []
        for path in (b"/a", b"/b", b"/a"):
            client.send(get(path))
            seen.append(parse(world.upstream.take())[b"X-R"])
            world.upstream.send(ok())
        assert seen == [b"all", b"b", b"all"]


@pytest.mark.parametrize(
    ("pattern", "target", "seen"),
    [
        ("/api/*", b"/api/users?x=1", b"/users?x=1"),
        ("/api/*", b"/api", b"/"),
        ("/api/*", b"/api?x=/api", b"/?x=/api"),
        ("/api/{v}/*", b"/api/v1/users", b"/users"),
        ("/exact", b"/exact?q", b"/?q"),
    ],
)
def test_strip_path_removes_the_matched_prefix(pattern: str, target: bytes, seen: bytes) -> None:
    with World(routes=[replace(ROUTE, path=pattern, strip_path=True)]) as world:
        assert forwarded(world, get(target)).line == b"GET " + seen + b" HTTP/1.1"


def test_a_target_in_absolute_form_becomes_origin_form_and_its_authority_the_host() -> None:
    with World() as world:
        request = forwarded(world, b"GET http://Shop.example:8080/x?y HTTP/1.1\r\nHost: other\r\nX-A: 1\r\n\r\n")
        assert request.line == b"GET /x?y HTTP/1.1"
        assert request[b"Host"] == b"Shop.example:8080"
        assert request[b"X-Forwarded-Host"] == b"Shop.example:8080"


def test_http_1_0_without_a_host_is_forwarded_with_an_empty_one() -> None:
    with World() as world:
        request = forwarded(world, b"GET / HTTP/1.0\r\nX-A: 1\r\n\r\n")
        assert request.line == b"GET / HTTP/1.1"
        assert [value.strip() for value in request.all(b"Host")] == [b""]
        assert b"X-Forwarded-Host" not in request


def test_te_trailers_is_said_to_the_instance_as_the_gateway_s_own_word() -> None:
    with World() as world:
        request = forwarded(world, get(b"/", b"TE: trailers, deflate;q=0.5", b"Connection: TE"))
        assert request[b"TE"] == b"trailers"
        assert request[b"Connection"] == b"TE"


def test_x_gateway_can_be_left_out() -> None:
    with World(settings=replace(SETTINGS, server_header=False)) as world:
        assert b"X-Gateway" not in answered(world, ok())


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        (b"HTTP/1.1 299", b"HTTP/1.1 299 "),
        (b"HTTP/1.1 299 Fine \xe4", b"HTTP/1.1 299 Fine \xe4"),
        (b"HTTP/1.0 299 Old", b"HTTP/1.1 299 Old"),
    ],
)
def test_status_and_phrase_are_the_instance_s(line: bytes, seen: bytes) -> None:
    with World() as world:
        assert answered(world, line + b"\r\nContent-Length: 0\r\n\r\n").line == seen


@pytest.mark.parametrize(
    ("hash_on", "same", "other"),
    [
        ("path", get(b"/a?x=1"), get(b"/b")),
        ("header:X-Tenant", get(b"/", b"x-tenant:  a "), get(b"/", b"X-Tenant: b")),
        ("cookie:sid", get(b"/", b"Cookie: x=1; sid=a"), get(b"/", b"Cookie: sid=b; x=1")),
    ],
)
def test_hashing_sends_equal_keys_to_one_instance(hash_on: str, same: bytes, other: bytes) -> None:
    with World(service(20, balance="hash", hash_on=hash_on)) as world:
        hosts = []
        for request in (same, same, other, other):
            forwarded(world, request)
            hosts.append(world.last.instance)
        assert hosts[0] == hosts[1]
        assert hosts[2] == hosts[3]
        assert hosts[0] != hosts[2]


def test_hashing_on_the_client_looks_behind_trusted_proxies_only() -> None:
    settings = replace(SETTINGS, trusted_proxies=("10.0.0.0/8",))
    with World(service(20, balance="hash"), settings=settings) as world:
        hosts = {}
        for name, peer, hops in (
            ("direct", "203.0.113.9", b"198.51.100.1"),
            ("behind", "10.0.0.1", b"198.51.100.1, 203.0.113.9, 10.2.2.2"),
            ("other", "10.0.0.1", b"198.51.100.1"),
        ):
            forwarded(world, get(b"/", b"X-Forwarded-For: " + hops), peer=peer)
            hosts[name] = world.last.instance
        assert hosts["direct"] == hosts["behind"] != hosts["other"]
