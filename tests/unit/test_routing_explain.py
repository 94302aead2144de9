"""Why a request takes the route it takes."""

from __future__ import annotations

from gateway.routing.explain import explain
from gateway.routing.table import compile_table
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
