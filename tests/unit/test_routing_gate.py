"""Splits, access rules and redirects, without a request."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.model import Handling, Share
from gateway.routing.access import AccessRules
from gateway.routing.compiled import CompiledRoute, Pattern
from gateway.routing.redirect import Redirect
from gateway.routing.split import Split, parts
from gateway.routing.table import compile_table
from tests.unit.test_routing_match import route


@pytest.mark.parametrize(
    ("fractions", "counts", "wanted"),
    [
        ([0, 0], [1, 1], [0.5, 0.5]),
        ([0, 0], [3, 1], [0.75, 0.25]),
        ([0.2, 0], [1, 1], [0.2, 0.8]),
        ([0.2, 0], [1, 4], [0.2, 0.8]),
        ([0.2, 0], [2, 1], [0.4, 0.6]),
        ([0.2, 0.3, 0, 0], [1, 1, 1, 3], [0.2, 0.3, 0.125, 0.375]),
        ([0.2, 0.2], [1, 1], [0.5, 0.5]),
        ([0.2, 0.6], [1, 1], [0.25, 0.75]),
        ([1, 0], [1, 5], [1, 0]),
        ([0.9, 0.6, 0], [1, 1, 1], [0.6, 0.4, 0]),
        ([0.2, 0], [1, 0], [1, 0]),
        ([0.2, 0], [0, 2], [0, 1]),
        ([0.2, 0], [0, 0], [0, 0]),
    ],
)
def test_the_parts_are_fabios(fractions: list[float], counts: list[int], wanted: list[float]) -> None:
    assert parts(fractions, counts) == pytest.approx(wanted)


def split(*fractions: float) -> Split:
    pattern = Pattern("/*")
    return Split([CompiledRoute(route("/*", service=str(at)), pattern) for at in range(len(fractions))], fractions)


@given(st.lists(st.tuples(st.sampled_from([0, 0.05, 0.2, 1]), st.integers(0, 5)), min_size=1, max_size=5))
def test_turns_follow_the_parts_closely(shares: list[tuple[float, int]]) -> None:
    fractions, counts = [each for each, _ in shares], [each for _, each in shares]
    turns = split(*fractions)
    taken = Counter(int(turns.pick(counts).service) for _ in range(200))
    for at, part in enumerate(parts(fractions, counts)):
        if any(counts):
            assert abs(taken[at] - 200 * part) <= len(shares)
            assert not (taken[at] and not part)


def test_what_loses_its_instances_gets_nothing_from_the_next_request_on() -> None:
    turns = split(0.5, 0, 0)
    for _ in range(7):
        turns.pick([1, 1, 1])
    assert {turns.pick([0, 1, 0]).service for _ in range(5)} == {"1"}
    assert turns.pick([0, 0, 0]).service == "0"


def test_only_routes_that_need_one_have_a_gate() -> None:
    share = replace(route("/a**"), share=Share(0.5))
    table = compile_table([share, route("/b"), replace(route("/c"), handling=Handling(strip="/c"))])
    for path in (b"/a", b"/b", b"/c"):
        found = table.match(b"", path, b"GET")
        assert isinstance(found, CompiledRoute)
        assert found.gate is None
    found = compile_table([share, replace(share, service="other")]).match(b"", b"/a", b"GET")
    assert isinstance(found, CompiledRoute)
    assert found.gate is not None
    assert found.gate.split is not None
    assert [each.service for each in found.gate.split.routes] == ["users", "other"]


@pytest.mark.parametrize(
    ("allow", "deny", "client", "wanted"),
    [
        ("10.0.0.0/8 fe80::/10", "", "10.1.2.3", True),
        ("10.0.0.0/8 fe80::/10", "", "fe80::1", True),
        ("10.0.0.0/8 fe80::/10", "", "fe80::1%eth0", True),
        ("10.0.0.0/8 fe80::/10", "", "11.1.2.3", False),
        ("10.0.0.0/8", "", "::ffff:10.1.2.3", True),
        ("10.0.0.0/8", "", "::ffff:11.1.2.3", False),
        ("", "10.0.0.0/8", "10.1.2.3", False),
        ("", "10.0.0.0/8", "::ffff:10.1.2.3", False),
        ("", "10.0.0.0/8", "11.1.2.3", True),
        ("", "10.0.0.0/8", "::1", True),
        ("", "10.0.0.0/8", "", False),
        ("", "10.0.0.0/8", "nobody", False),
    ],
)
def test_access_rules(allow: str, deny: str, client: str, wanted: bool) -> None:
    assert AccessRules(allow.split(), deny.split()).admits(client.encode()) is wanted


@pytest.mark.parametrize(
    ("location", "path", "query", "wanted"),
    [
        ("https://www.google.com/", "/path", "?a", "https://www.google.com/"),
        ("https://www.google.com", "/path", "", "https://www.google.com/"),
        ("https://www.foo.com$path", "/a/b", "?c=d", "https://www.foo.com/a/b?c=d"),
        ("https://www.foo.com/$path", "/a/b", "", "https://www.foo.com/a/b"),
        ("https://www.foo.com/new$path", "/a", "", "https://www.foo.com/new/a"),
        ("https://www.foo.com/new/$path?own=1", "/a", "?c=d", "https://www.foo.com/new/a?own=1"),
        ("https://www.foo.com$path?own=1", "/a", "?c=d", "https://www.foo.com/a?own=1"),
        ("https://www.foo.com?own=1", "/a", "?c=d", "https://www.foo.com/?own=1"),
        ("https://$host$path", "/a", "?b", "https://example.com:8080/a?b"),
        ("https://www.$host/x", "/a", "?b", "https://www.example.com:8080/x"),
        ("https://www.foo.com$path", "//evil.example", "", "https://www.foo.com//evil.example"),
    ],
)
def test_redirects(location: str, path: str, query: str, wanted: str) -> None:
    redirect = Redirect(301, location)
    assert redirect.location(b"example.com:8080", path.encode(), query.encode()).decode() == wanted
