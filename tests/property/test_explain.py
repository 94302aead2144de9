"""What is explained is what a worker does: for any routes, services and requests."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from discovery.model import Handling, Share
from gateway.admin.explanation import Asked, Explained
from gateway.proxy.dryrun import dry_run
from gateway.snapshot.model import RouteRecord, ServiceRecord, Snapshot
from gateway.supervisor.explain import Known, explain
from tests.property.test_routing import HOSTS, METHODS, PATHS, PATTERNS, TEXTS
from tests.proxy_harness import PEER, ROUTE, SETTINGS, World, instance, service

HANDLINGS = st.sampled_from(
    [
        Handling(),
        Handling(strip="/a", prepend="/p"),
        Handling(host="dst"),
        Handling(allow=("192.0.2.0/24",)),
        Handling(deny=("192.0.2.0/24",)),
        Handling(redirect=302, location="http://x.com$path"),
    ]
)
SHARES = st.sampled_from([None, None, Share(), Share(fraction=0.5)])
SERVICES = ("users", "orders")


@st.composite
def tables(draw: st.DrawFn) -> list[RouteRecord]:
    """Routes as they may be declared together: those of one pattern are all parts of a split, or one of them counts."""
    routes = []
    for cell in range(1, draw(st.integers(1, 6))):
        path = draw(st.one_of(PATTERNS, TEXTS))
        strip = draw(st.booleans()) and not path.endswith("**")
        route = replace(
            ROUTE,
            cell=cell,
            path=path,
            host=draw(HOSTS),
            methods=draw(METHODS),
            service=draw(st.sampled_from(SERVICES)),
            strip_path=strip,
            handling=Handling() if strip else draw(HANDLINGS),
            headers=draw(st.sampled_from([(), (("X-Added", "1"),)])),
            share=draw(SHARES),
            is_refused=draw(st.integers(0, 9)) == 0,
        )
        routes.append(route)
    return routes


NAMES = st.sampled_from(["127.0.0.1", "x.com", "a.x.com", "b.x.com", "y.com", "x.com:81"])
REQUESTS = st.tuples(st.sampled_from(["GET", "PUT", "POST"]), NAMES, PATHS)
COUNTS = st.lists(st.integers(0, 2), min_size=2, max_size=2)
UNLIKE = re.compile(rb"(X-Request-ID|traceparent): [^\r]*|Host: 10\.[^\r]*|Date: [^\r]*|[0-9a-f]{32}")


def alike(head: bytes) -> bytes:
    """Without what differs from one request, or instance, to the next."""
    return UNLIKE.sub(b"", head)


@given(tables(), COUNTS, REQUESTS)
def test_explaining_agrees_with_a_worker(
    routes: list[RouteRecord], counts: list[int], request: tuple[str, str, str]
) -> None:
    method, host, path = request
    services = [
        replace(service(count), name=name, instances=tuple(instance(base + n) for n in range(1, count + 1)))
        for name, count, base in zip(SERVICES, counts, (0, 4), strict=True)
    ]
    told = explain_it(routes, services, method, host, path)
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    with World(*services, routes=routes) as world:
        client = world.client(head)
        answer = client.take()
        forwarded = b"".join(upstream.take() for upstream in world.upstreams)
    if len(told["routes"]) < 2:
        tried = dry_run(
            head, PEER, settings=SETTINGS, routes=routes, services=services, in_flight=lambda _cell: 0, now=1.0
        )
        assert (alike(tried.forwarded), alike(tried.answer)) == (alike(forwarded), alike(answer))
    if told["routes"]:
        outcomes = {(each["status"], each["location"]) for each in told["routes"] if each["share"] or len(routes) == 1}
        outcomes = outcomes or {(each["status"], each["location"]) for each in told["routes"]}
    else:
        outcomes = {(told["status"], "")}
    if forwarded:
        target = forwarded.split(b" ")[1].decode()
        assert (None, "") in outcomes
        assert target in {each["changes"]["target"] for each in told["routes"]}
        chosen = [each for each in told["considered"] if each["chosen"]]
        assert chosen
        assert {each["service"] for each in chosen} >= {told["routes"][0]["service"]}
    else:
        location = re.search(rb"Location: ([^\r]*)", answer)
        status = int(answer.split(b" ")[1])
        assert (status, location[1].decode() if location else "") in outcomes
    assert world.in_flight() == 0


def explain_it(
    routes: list[RouteRecord], services: list[ServiceRecord], method: str, host: str, path: str
) -> Explained:
    snapshot = Snapshot(1, 0, 1, SETTINGS, 1, tuple(routes), tuple(services))
    known = Known(snapshot, (), lambda _route: ("", ""), lambda _cell: 0, "127.0.0.1:80", 1.0)
    return explain(Asked(method, path, (("Host", host),), PEER), known)
