"""Which route takes a request."""

from __future__ import annotations

import pytest

from gateway.routing.compiled import CompiledRoute, MethodNotAllowed
from gateway.routing.match import RouteTable
from gateway.routing.table import compile_table
from gateway.snapshot.model import RouteRecord


def route(
    path: str,
    host: str = "",
    methods: tuple[str, ...] = (),
    *,
    service: str = "users",
    strip_path: bool = False,
    headers: tuple[tuple[str, str], ...] = (),
) -> RouteRecord:
    return RouteRecord(
        cell=7,
        path=path,
        host=host,
        methods=methods,
        service=service,
        strip_path=strip_path,
        timeout=30.0,
        per_try_timeout=2.0,
        stream_idle_timeout=60.0,
        retry_count=3,
        headers=headers,
    )


def label(table: RouteTable, host: str, path: str, method: str = "GET") -> str | None:
    """The label of the matching route, "405 ALLOW", or None."""
    answer = table.match(host.encode(), path.encode(), method.encode())
    if isinstance(answer, MethodNotAllowed):
        return f"405 {answer.allow.decode()}"
    return answer.label if isinstance(answer, CompiledRoute) else None


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/users", "/users", True),
        ("/users", "/users/", False),
        ("/users", "/users/1", False),
        ("/users", "/Users", False),
        ("/", "/", True),
        ("/", "/x", False),
        ("/users/*", "/users", True),
        ("/users/*", "/users/", True),
        ("/users/*", "/users/1/posts", True),
        ("/users/*", "/users//1", True),
        ("/users/*", "/usersx", False),
        ("/users/*", "/user", False),
        ("/*", "/", True),
        ("/*", "/a/b/c", True),
        ("/users/{id}", "/users/1", True),
        ("/users/{id}", "/users/", False),
        ("/users/{id}", "/users/1/", False),
        ("/users/{id}", "/users/1/posts", False),
        ("/users/{id}/posts", "/users/1/posts", True),
        ("/users/{id}/posts", "/users//posts", False),
        ("/users/{id}/*", "/users/1", True),
        ("/users/{id}/*", "/users/1/", True),
        ("/users/{id}/*", "/users/1/posts/2", True),
        ("/users/{id}/*", "/users", False),
        ("/users/{id}/*", "/users/", False),
        ("/{a}/{b}", "/1/2", True),
        ("/café", "/caf%C3%A9", True),
        ("/café", "/caf%c3%a9", True),
        ("/a b/*", "/a%20b/c", True),
        ("/~me", "/%7Eme", True),
    ],
)
def test_a_pattern_matches(pattern: str, path: str, matches: bool) -> None:
    assert (label(compile_table([route(pattern)]), "", path) is not None) is matches


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a/b", "/a/b"),
        ("/a/x", "/a/{n}"),
        ("/z/b", "/{n}/b"),
        ("/a/b/c", "/a/b/*"),
        ("/a/x/c", "/a/{n}/*"),
        ("/a", "/a/*"),
        ("/a/", "/a/*"),
        ("/q/w/e", "/*"),
        ("/deep/1/x", "/{n}/1/*"),  # longer before shorter, though the shorter has no names
        ("/deep/2/x", "/deep/*"),
    ],
)
def test_the_most_specific_pattern_wins(path: str, expected: str) -> None:
    patterns = ["/*", "/a/*", "/{n}/1/*", "/deep/*", "/a/{n}/*", "/a/b/*", "/{n}/b", "/a/{n}", "/a/b"]
    for order in (patterns, patterns[::-1]):
        assert label(compile_table([route(each) for each in order]), "", path) == expected


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        ("api.example.com", "/a", "api.example.com/a"),
        ("api.example.com.", "/a", "api.example.com/a"),
        ("www.example.com", "/a", "*.example.com/a"),
        ("www.example.com.", "/a", "*.example.com/a"),
        ("x.eu.example.com", "/a", "*.eu.example.com/a"),
        ("x.y.example.com", "/a", "*.example.com/a"),
        ("example.com", "/a", "/a"),
        (".example.com", "/a", "/a"),
        ("notexample.com", "/a", "/a"),
        ("", "/a", "/a"),
        ("api.example.com", "/b", "*.example.com/b"),
        ("x.eu.example.com", "/b", "*.example.com/b"),
        ("api.example.com", "/c", "/c"),
        ("api.example.com", "/d", None),
        ("." * 5000, "/a", "/a"),
    ],
)
def test_hosts_from_the_most_specific_to_none(host: str, path: str, expected: str | None) -> None:
    table = compile_table(
        [
            route("/a"),
            route("/c"),
            route("/a", "*.example.com"),
            route("/b", "*.example.com"),
            route("/a", "*.eu.example.com"),
            route("/a", "API.example.com"),
        ]
    )
    assert (label(table, host, path) or "none").lower() == (expected or "none")


def test_methods_are_told_apart_within_one_pattern_only() -> None:
    table = compile_table(
        [
            route("/users/{id}", methods=("GET", "HEAD"), service="reader"),
            route("/users/{name}", methods=("PUT",), service="writer"),
            route("/users/*", service="rest"),
        ]
    )
    answers = {method: table.match(b"", b"/users/1", method) for method in (b"GET", b"PUT", b"DELETE", b"get")}
    assert [getattr(answers[method], "service", None) for method in (b"GET", b"PUT")] == ["reader", "writer"]
    for method in (b"DELETE", b"get"):
        refusal = answers[method]
        assert isinstance(refusal, MethodNotAllowed)
        assert refusal.allow == b"GET, HEAD, PUT"
        assert refusal.route.service == "reader"


def test_a_route_that_names_the_method_goes_before_one_that_takes_all() -> None:
    table = compile_table([route("/a", service="all"), route("/a", methods=("GET",), service="get")])
    get, post = table.match(b"", b"/a", b"GET"), table.match(b"", b"/a", b"POST")
    assert isinstance(get, CompiledRoute)
    assert isinstance(post, CompiledRoute)
    assert (get.service, post.service) == ("get", "all")


def test_of_two_equal_routes_the_first_is_used() -> None:
    answer = compile_table([route("/a", service="one"), route("/a", service="two")]).match(b"", b"/a", b"GET")
    assert isinstance(answer, CompiledRoute)
    assert answer.service == "one"


@pytest.mark.parametrize(
    "path",
    [
        "/admin",
        "/%61dmin",
        "/%61%64%6d%69n",
        "/public/../admin",
        "/public/%2e%2E/admin",
        "/./admin",
        "/x/y/../../admin",
        "/../admin",
    ],
)
def test_writing_a_path_differently_does_not_lead_round_its_route(path: str) -> None:
    table = compile_table([route("/admin"), route("/public/*"), route("/*")])
    assert label(table, "", path) == "/admin"


@pytest.mark.parametrize("path", ["/a%2Fb", "/a%2fb", "/a//b", "/a%252Fb", "/%zz/../a"])
def test_encoded_and_doubled_slashes_are_no_single_slash(path: str) -> None:
    assert label(compile_table([route("/a/b"), route("/a/*")]), "", path) in (None, "/a/*")
    assert label(compile_table([route("/a/b")]), "", path) is None


@pytest.mark.parametrize(
    ("pattern", "path", "upstream"),
    [
        ("/api/*", "/api", "/"),
        ("/api/*", "/api/", "/"),
        ("/api/*", "/api/users/1", "/users/1"),
        ("/api/*", "/api//users", "//users"),
        ("/api/*", "/api/a%20b", "/a%20b"),
        ("/api/*", "/%61pi/x", "/x"),
        ("/api/*", "/api/x/../y", "/y"),
        ("/api/*", "/other/../api", "/"),
        ("/*", "/a/b", "/a/b"),
        ("/*", "/", "/"),
        ("/{tenant}/api/*", "/acme/api/users", "/users"),
        ("/{tenant}/api/*", "/acme/api", "/"),
        ("/{tenant}/*", "/acme/", "/"),
        ("/exact", "/exact", "/"),
        ("/users/{id}", "/users/1", "/"),
    ],
)
def test_strip_path_leaves_what_follows_the_prefix(pattern: str, path: str, upstream: str) -> None:
    answer = compile_table([route(pattern, strip_path=True)]).match(b"", path.encode(), b"GET")
    assert isinstance(answer, CompiledRoute)
    assert answer.upstream_path(path.encode()) == upstream.encode()


def test_without_strip_path_the_path_is_forwarded_as_it_came() -> None:
    answer = compile_table([route("/api/*")]).match(b"", b"/x/../%61pi/", b"GET")
    assert isinstance(answer, CompiledRoute)
    assert answer.upstream_path(b"/x/../%61pi/") == b"/x/../%61pi/"


def test_a_compiled_route_has_everything_worked_out() -> None:
    record = route("/a/*", "api.example.com", ("GET",), headers=(("X-Version", "1"), ("X-Größe", "ß")))
    answer = compile_table([record]).match(b"api.example.com", b"/a/b", b"GET")
    assert isinstance(answer, CompiledRoute)
    assert answer.record is record
    assert (answer.cell, answer.service, answer.methods) == (7, "users", frozenset({b"GET"}))
    assert (answer.timeout, answer.per_try_timeout, answer.stream_idle_timeout, answer.retry_count) == (30, 2, 60, 3)
    assert answer.header_block == "X-Version: 1\r\nX-Größe: ß\r\n".encode()
    assert answer.header_names == frozenset({b"x-version", "x-größe".encode()})
    assert repr(answer) == "<CompiledRoute api.example.com/a/* -> users>"


def test_an_empty_table_matches_nothing() -> None:
    assert compile_table([]).match(b"a", b"/", b"GET") is None
