"""Why a request takes the route it takes."""

from __future__ import annotations

from dataclasses import replace

from discovery.model import Share
from gateway.routing.explain import NEAR, explain, near, shares
from gateway.routing.table import compile_table
from gateway.snapshot.model import RouteRecord
from tests.unit.test_routing_match import route

TABLE = compile_table(
    [
        route("/*"),
        route("/users/*", methods=("GET",)),
        route("/users/{id}", methods=("GET",)),
        route("/users/{name}", methods=("PUT",)),
        route("/only", "api.example.com"),
    ]
)


def test_the_chosen_route_and_those_passed_over() -> None:
    told = explain(TABLE, b"api.example.com", b"/x/../users/1", b"PUT")
    assert told.path == "/users/1"
    assert told.route is not None
    assert told.route.path == "/users/{name}"
    assert [(each.host, each.pattern, each.is_chosen, each.reason) for each in told.considered] == [
        ("api.example.com", "", False, "no path of host api.example.com matches"),
        ("", "/users/{id}", False, "takes GET, not PUT; less specific patterns are not tried"),
        ("", "/users/{name}", True, "the most specific pattern (template) that matches"),
        ("", "/users/*", False, "less specific than /users/{id}"),
        ("", "/*", False, "less specific than /users/{id}"),
    ]


def test_a_method_that_no_route_of_the_pattern_takes() -> None:
    told = explain(TABLE, b"", b"/users/1", b"DELETE")
    assert (told.route, told.allow) == (None, "GET, PUT")
    assert not any(each.is_chosen for each in told.considered)


def test_the_second_of_two_equal_routes() -> None:
    told = explain(compile_table([route("/a"), route("/a")]), b"", b"/a", b"GET")
    assert [each.reason for each in told.considered] == [
        "the most specific pattern (exact) that matches",
        "another route of the same pattern takes GET before it",
    ]


def test_nothing_matches() -> None:
    told = explain(compile_table([route("/a")]), b"", b"/b", b"GET")
    assert (told.route, told.allow) == (None, "")
    assert [each.reason for each in told.considered] == ["no path of the routes without host matches"]


def test_all_routes_of_a_split_are_chosen() -> None:
    routes = [replace(route("/a"), share=Share(fraction)) for fraction in (0.25, 0.0)]
    told = explain(compile_table(routes), b"", b"/a", b"GET")
    assert told.split == tuple(routes)
    assert [(each.is_chosen, "shared by 2 routes" in each.reason) for each in told.considered] == [(True, True)] * 2
    assert shares(told.split, [1, 3]) == [0.25, 0.75]
    assert explain(TABLE, b"", b"/users/1", b"GET").split == ()


def missed(routes: list[RouteRecord], path: str, host: str = "", method: str = "GET") -> list[tuple[str, str]]:
    told = explain(compile_table(routes), host.encode(), path.encode(), method.encode())
    return [(each.route.path, each.reason) for each in near(routes, told, host, method, elsewhere_only=False)]


def test_near_are_routes_of_other_hosts_that_would_match() -> None:
    routes = [route("/a/*", "x.com"), route("/a/{b}", "*.y.com", methods=("PUT",)), route("/z", "x.com")]
    assert missed(routes, "/a/1", "z.com") == [
        ("/a/{b}", "is for host *.y.com, not z.com, and takes PUT, not GET"),
        ("/a/*", "is for host x.com, not z.com"),
    ]
    assert missed(routes, "/a/1")[1] == ("/a/*", "is for host x.com, not a request without host")


def test_near_are_paths_that_differ_by_a_slip() -> None:
    routes = [route("/users"), route("/Orders/*"), route("/invoices/*")]
    assert missed(routes, "/users/") == [("/users", "differs by a slash at its end")]
    assert missed(routes, "/orders/7") == [("/Orders/*", "differs by upper and lower case")]
    assert missed(routes, "/invoicse/7") == [("/invoices/*", "has a similar path")]
    assert missed(routes, "/qqq") == []


def test_of_many_near_routes_some_are_named() -> None:
    routes = [route(f"/users{n}") for n in range(100)]
    assert len(missed(routes, "/users")) == NEAR
