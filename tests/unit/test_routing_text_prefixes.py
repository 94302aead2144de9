"""Prefixes as text, hosts with a port, and routes that are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.model import Handling
from gateway.routing.compiled import CompiledRoute, Leaf, Pattern, RefusedRoute
from gateway.routing.explain import explain
from gateway.routing.match import RouteTable
from gateway.routing.table import compile_table
from gateway.routing.text_prefixes import TextPrefixes
from tests.unit.test_routing_match import label, route


def leaf(text: str) -> Leaf:
    pattern = Pattern(text + "**")
    return Leaf(pattern, [CompiledRoute(route(text + "**"), pattern)])


@given(st.sets(st.text("ab/", max_size=5).map("/".__add__)), st.text("abc/", max_size=8).map("/".__add__))
def test_the_longest_text_that_a_path_begins_with_is_found(texts: set[str], path: str) -> None:
    prefixes = TextPrefixes()
    for text in texts:
        prefixes.add(leaf(text))
    prefixes.finish()
    matching = [text.encode() for text in texts if path.startswith(text)]
    found = prefixes.find(path.encode())
    assert (found and found.pattern.literal) == max(matching, key=len, default=None)
    assert {each.pattern.literal for each in prefixes.all(path.encode())} == set(matching)


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/foo", "/foo**"),
        ("/foobar", "/foo**"),
        ("/foo/x", "/foo/**"),
        ("/foo/bar/x", "/foo/bar/*"),
        ("/foo/barn", "/foo/**"),
        ("/foo/exact", "/foo/exact"),
        ("/%66oot", "/foo**"),
        ("/x/../foo", "/foo**"),
        ("/fo", "/*"),
        ("/Foo", "/*"),
    ],
)
def test_texts_and_other_patterns_of_one_host(path: str, wanted: str) -> None:
    table = compile_table([route(each) for each in ("/*", "/foo**", "/foo/**", "/foo/bar/*", "/foo/exact")])
    assert label(table, "", path) == wanted


def ports() -> RouteTable:
    return compile_table(
        [
            route("/*", "example.com:8080", service="by port"),
            route("/", "example.com:80", service="eighty"),
            route("/*", "example.com", service="by name"),
            route("/*", service="any"),
        ]
    )


@pytest.mark.parametrize(
    ("host_field", "path", "wanted"),
    [
        ("example.com:8080", "/x", "by port"),
        ("example.com:08080", "/x", "by port"),
        ("example.com:80", "/", "eighty"),
        ("example.com", "/", "eighty"),
        ("example.com:", "/", "eighty"),
        ("example.com:80", "/x", "by name"),
        ("example.com:9999", "/x", "by name"),
        ("example.org:8080", "/x", "any"),
    ],
)
def test_a_host_with_a_port_goes_before_the_host_alone(host_field: str, path: str, wanted: str) -> None:
    table = ports()
    host = host_field.partition(":")[0].encode()
    arguments = host_field.encode(), path.encode(), b"GET"
    found = table.match_port(host, *arguments) or table.match(host, path.encode(), b"GET")
    assert isinstance(found, CompiledRoute)
    assert found.service == wanted
    assert explain(table, host, path.encode(), b"GET", host_field.encode()).route == found.record


def test_the_route_after_one_is_that_of_the_next_host() -> None:
    table = ports()
    services = []
    found = table.match_port(b"example.com", b"example.com:8080", b"/", b"GET")
    while isinstance(found, CompiledRoute):
        services.append(found.service)
        found = table.match_after(found, b"example.com", b"example.com:8080", b"/", b"GET")
    assert services == ["by port", "by name", "any"]


def test_a_refused_route_keeps_its_requests_from_less_specific_ones() -> None:
    table = compile_table([route("/*"), replace(route("/admin**"), is_refused=True), route("/admin/open")])
    assert isinstance(table.match(b"", b"/admin/x", b"GET"), RefusedRoute)
    assert label(table, "", "/admin/open") == "/admin/open"
    assert label(table, "", "/adm") == "/*"
    told = explain(table, b"", b"/admin/x", b"GET")
    assert told.route is None
    assert [each.reason.partition(",")[0] for each in told.considered] == ["is refused", "less specific than /admin**"]


@pytest.mark.parametrize(
    ("strip", "prepend", "path", "wanted"),
    [
        ("/foo", "", "/foo/bar", "/bar"),
        ("/foo", "", "/foobar", "/bar"),
        ("/foo", "", "/foo", "/"),
        ("/foo", "", "/bar", "/bar"),
        ("/foo", "", "/%66oo/b%20r", "/b%20r"),
        ("/foo", "", "/foo/../foo/x", "/x"),
        ("/foo", "", "/foo/../bar", "/foo/../bar"),
        ("/", "", "/foo", "/foo"),
        ("", "/foo", "/bar", "/foo/bar"),
        ("/foo", "/baz", "/foo/bar", "/baz/bar"),
        ("/foo/", "/baz", "/foo/bar", "/baz/bar"),
    ],
)
def test_a_text_is_stripped_and_another_put_before(strip: str, prepend: str, path: str, wanted: str) -> None:
    record = replace(route("/*"), handling=Handling(strip=strip, prepend=prepend))
    assert CompiledRoute(record, Pattern("/*")).upstream_path(path.encode()).decode() == wanted
