"""What would become of a request, in words: over a snapshot, with a worker's own machines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from discovery.model import Handling, Share
from gateway.admin.explanation import Asked, Explained, NotExplained
from gateway.snapshot.model import RouteRecord, ServiceRecord, Snapshot, Standby, WorkerSettings
from gateway.supervisor.explain import Known, explain
from tests.proxy_harness import ROUTE, SETTINGS, instance, service


def told(
    url: str,
    *routes: RouteRecord,
    method: str = "GET",
    headers: Sequence[tuple[str, str]] = (),
    client: str = "",
    services: Sequence[ServiceRecord] = (),
    settings: WorkerSettings = SETTINGS,
    in_flight: Callable[[int], int] = lambda _cell: 0,
) -> Explained:
    """The explanation of one request to a gateway at 127.0.0.1:8080."""
    snapshot = Snapshot(7, 0, 1, settings, 1, routes or (ROUTE,), tuple(services) or (service(2),))
    known = Known(snapshot, (), lambda route: (f"file: {route.path}", ""), in_flight, "0.0.0.0:8080", 1.0)
    return explain(Asked(method, url, tuple(headers), client), known)


def route(path: str, **changes: object) -> RouteRecord:
    return replace(ROUTE, path=path, **changes)  # type: ignore[arg-type]  # the keys of RouteRecord


def test_what_would_be_forwarded_and_what_is_changed_of_it() -> None:
    added = (("X-Version", "1"), ("X-Api-Key", "geheim"))
    answer = told(
        "/api/users/7?x=1",
        route("/api/*", strip_path=True, headers=added),
        headers=[("Connection", "X-Private"), ("X-Private", "1"), ("Accept", "*/*")],
    )
    assert (answer["outcome"], answer["status"], answer["path"]) == ("forwarded", None, "/api/users/7")
    (found,) = answer["routes"]
    changes = found["changes"]
    assert (changes["target"], changes["target_changed"]) == ("/users/7?x=1", True)
    values = {each[0]: each[1] for each in changes["added"]}
    assert values["X-Version"] == "1"
    assert values["X-Api-Key"] == "(hidden)"
    assert values["X-Request-ID"] == "(a new one)"
    assert values["X-Forwarded-Host"] == "127.0.0.1:8080"
    assert "Accept" not in values
    assert changes["removed"] == ["Connection", "X-Private"]
    assert (answer["host_assumed"], answer["client_assumed"]) == (True, True)


def test_the_host_is_that_of_the_header_then_that_of_the_url() -> None:
    assert told("http://a.example/x")["host"] == "a.example"
    assert told("http://a.example/x", headers=[("Host", "b.example")])["host"] == "b.example"
    assert told("http://a.example?q=1")["path"] == "/"


def test_an_id_that_the_client_brings_is_kept() -> None:
    (found,) = told("/", headers=[("X-Request-ID", "abc-12345678")])["routes"]
    assert "X-Request-ID" not in [name for name, _ in found["changes"]["added"]]


def test_who_is_a_candidate_and_how_much_each_gets() -> None:
    users = service(3, balance="weighted")
    first, second, _ = users.instances
    users = replace(users, instances=(first, replace(second, weight=3.0), instance(3, Standby.UNHEALTHY)))
    (found,) = told("/", services=[users])["routes"]
    assert [(each["address"], each["candidate"], each["share"], each["reason"]) for each in found["instances"]] == [
        ("10.0.0.1:80", True, 0.25, "eligible"),
        ("10.0.0.2:80", True, 0.75, "eligible"),
        ("10.0.0.3:80", False, 0.0, "unhealthy"),
    ]


@pytest.mark.parametrize(("balance", "share"), [("round_robin", 0.5), ("random", 0.5), ("least_connections", None)])
def test_shares_are_told_where_they_do_not_depend_on_load(balance: str, share: float | None) -> None:
    (found,) = told("/", services=[service(2, balance=balance)])["routes"]
    assert [each["share"] for each in found["instances"]] == [share, share]
    assert found["balance"]["next"] == ""


def test_hash_names_the_instance_and_goes_by_the_key() -> None:
    users = service(8, balance="hash", hash_on="header:X-User")
    names = [
        told("/", services=[users], headers=[("X-User", user)])["routes"][0]["balance"]["next"]
        for user in ("alice", "bob", "carol", "alice")
    ]
    assert names[0] == names[3]
    assert len(set(names)) > 1


def test_an_instance_at_its_limit_is_no_candidate() -> None:
    users = service(2, max_in_flight=5)
    (found,) = told("/", services=[users], in_flight=lambda cell: 5 if cell == 1 else 0)["routes"]
    assert [(each["candidate"], each["detail"]) for each in found["instances"]] == [
        (False, "at max_in_flight = 5"),
        (True, ""),
    ]
    answer = told("/", services=[users], in_flight=lambda _cell: 5)
    assert (answer["status"], answer["reason"]) == (503, "overloaded")


def test_a_service_without_an_eligible_instance_is_503() -> None:
    users = replace(service(1), instances=(instance(1, Standby.DRAINING),))
    answer = told("/", services=[users])
    assert (answer["outcome"], answer["status"], answer["reason"]) == ("refused", 503, "no_healthy_instance")
    assert answer["routes"][0]["instances"][0]["reason"] == "draining"


def test_retries_depend_on_the_method() -> None:
    assert "on other instances" in told("/")["routes"][0]["limits"]["retries"]
    assert "failures to connect only" in told("/", method="POST")["routes"][0]["limits"]["retries"]
    assert told("/", route("/*", retry_count=0))["routes"][0]["limits"]["retries"] == "nothing is repeated"


def test_a_405_names_what_is_allowed_and_a_404_what_is_near() -> None:
    routes = (route("/users/*", methods=("GET",)), route("/orders/*", host="shop.example"), route("/User"))
    answer = told("/users/1", *routes, method="PUT")
    assert (answer["status"], answer["allow"], answer["routes"]) == (405, ["GET"], [])
    answer = told("/orders/1", *routes)
    assert (answer["status"], answer["reason"]) == (404, "no_route")
    assert [(each["path"], each["reason"]) for each in answer["near"]] == [
        ("/orders/*", "is for host shop.example, not 127.0.0.1")
    ]
    assert [each["path"] for each in told("/user", *routes)["near"]] == ["/User", "/users/*"]


def test_routes_that_share_requests_are_all_told_with_their_parts() -> None:
    orders = replace(service(1), name="orders")
    routes = (
        route("/*", share=Share(fraction=0.2)),
        route("/*", share=Share(), service="orders", handling=Handling(strip="/a")),
    )
    answer = told("/a/b", *routes, services=[service(1), orders])
    assert [(each["service"], each["share"], each["changes"]["target"]) for each in answer["routes"]] == [
        ("users", 0.2, "/a/b"),
        ("orders", 0.8, "/b"),
    ]
    assert [each["chosen"] for each in answer["considered"]] == [True, True]


def test_a_share_of_some_instances_leaves_the_others_out() -> None:
    (found,) = told("/", route("/*", share=Share(instances=("10.0.0.2:80",))))["routes"]
    assert [(each["candidate"], each["detail"]) for each in found["instances"]] == [
        (False, "the route's tag is that of another instance"),
        (True, ""),
    ]


def test_access_rules_go_by_the_client() -> None:
    closed = route("/*", handling=Handling(allow=("192.0.2.0/24",)))
    assert told("/", closed, client="192.0.2.9")["outcome"] == "forwarded"
    answer = told("/", closed)
    assert (answer["status"], answer["reason"]) == (403, "access_denied")
    assert answer["routes"][0]["changes"]["access"] == "only clients of 192.0.2.0/24"
    trusting = replace(SETTINGS, trusted_proxies=("127.0.0.1/32",))
    behind = [("X-Forwarded-For", "192.0.2.9")]
    assert told("/", closed, headers=behind, settings=trusting)["outcome"] == "forwarded"


def test_a_redirect_tells_where_to() -> None:
    away = route("/old/*", handling=Handling(redirect=301, location="https://new.example$path"))
    answer = told("/old/a?b=c", away)
    assert (answer["outcome"], answer["status"]) == ("redirected", 301)
    assert answer["routes"][0]["location"] == "https://new.example/old/a?b=c"


def test_a_redirect_to_where_the_request_is_already_passes_it_on() -> None:
    away = route("/*", host="a.example", handling=Handling(redirect=301, location="http://a.example$path"))
    answer = told("http://a.example/x", away, route("/*"))
    assert (answer["outcome"], answer["routes"][0]["host"]) == ("forwarded", "")
    assert [(each["host"], each["chosen"]) for each in answer["considered"]] == [("a.example", False), ("", True)]
    assert "passes the request on" in answer["considered"][0]["reason"]


def test_paths_of_the_gateway_itself_come_before_any_route() -> None:
    answer = told("/health")
    assert (answer["outcome"], answer["status"], answer["routes"]) == ("answered", 200, [])
    assert told("/ready", settings=replace(SETTINGS, ready=False))["status"] == 503


def test_connections_behind_the_proxy_protocol_are_explained_as_well() -> None:
    assert told("/", settings=replace(SETTINGS, proxy_protocol=True), client="2001:db8::1")["outcome"] == "forwarded"


@pytest.mark.parametrize(
    ("url", "method", "headers", "client", "reason"),
    [
        ("users", "GET", [], "", "bad_request"),
        ("ftp://x/", "GET", [], "", "bad_request"),
        ("http:///x", "GET", [], "", "bad_request"),
        ("http://me@x/", "GET", [], "", "bad_request"),
        ("/a b", "GET", [], "", "bad_request"),
        ("/ä", "GET", [], "", "bad_request"),
        ("/a#b", "GET", [], "", "bad_request"),
        ("/a\r\nX: y", "GET", [], "", "bad_request"),
        ("/", "GET /", [], "", "bad_request"),
        ("/", "", [], "", "bad_request"),
        ("/", "GET", [("X y", "1")], "", "bad_request"),
        ("/", "GET", [("X", "1\r\nY: 2")], "", "bad_request"),
        ("/", "GET", [("X", "\u20ac")], "", "bad_request"),
        ("/", "GET", [], "nobody", "bad_request"),
        ("/", "GET", [("Host", "a"), ("Host", "b")], "", "bad_host"),
        ("/", "GET", [("Host", "a b")], "", "bad_host"),
        ("/", "POST", [("Content-Length", "1"), ("Content-Length", "2")], "", "ambiguous_length"),
        ("/", "CONNECT", [], "", "method_not_allowed"),
        ("/" + "a" * 9000, "GET", [], "", "target_too_long"),
    ],
)
def test_what_is_no_request_is_said_to_be_none(
    url: str, method: str, headers: list[tuple[str, str]], client: str, reason: str
) -> None:
    with pytest.raises(NotExplained) as caught:
        told(url, method=method, headers=headers, client=client)
    assert caught.value.reason == reason
    assert str(caught.value).endswith(".")
