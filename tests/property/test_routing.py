"""The table finds what a plain reading of the rules finds, over all routes one by one."""

from __future__ import annotations

import re
import time

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.routing.compiled import CompiledRoute, MethodNotAllowed
from gateway.routing.explain import explain
from gateway.routing.normal import normal_path
from gateway.routing.table import compile_table
from gateway.snapshot.model import RouteRecord
from tests.unit.test_routing_match import route

SEGMENTS = st.sampled_from(["a", "b", "", "{n}", "{m}", "c"])
PATTERNS = st.builds(
    lambda segments, end: "/" + "/".join(segments) + end if segments else "/" + end.removeprefix("/"),
    st.lists(SEGMENTS, max_size=4),
    st.sampled_from(["", "/*"]),
)
TEXTS = st.lists(st.sampled_from(["a", "b", "aa", "ab", ""]), min_size=1, max_size=3).map(
    lambda parts: "/" + ("/".join(parts) or "a") + "**"
)
HOSTS = st.sampled_from(["", "x.com", "a.x.com", "*.x.com", "*.a.x.com"])
METHODS = st.lists(st.sampled_from(["GET", "PUT"]), unique=True).map(tuple)
ROUTES = st.lists(st.builds(route, st.one_of(PATTERNS, TEXTS), HOSTS, METHODS), max_size=12)
PATHS = st.lists(st.sampled_from(["a", "b", "", "c", "d", "aa", "abc"]), max_size=6).map(
    lambda parts: "/" + "/".join(parts)
)
REQUEST_HOSTS = st.sampled_from(["", "x.com", "a.x.com", "b.x.com", "b.a.x.com", "y.com"])


def host_rank(pattern: str, host: str) -> int | None:
    if pattern.startswith("*."):
        return -len(pattern) if host.endswith(pattern[1:]) and len(host) >= len(pattern) else None
    return (-1000 if pattern else 0) if pattern in ("", host) else None


def path_rank(pattern: str, path: str) -> tuple[int, int, int, tuple[bool, ...]] | None:
    """Lower is more specific. Among prefixes the one that takes more of the path wins, of equals that by segments."""
    if pattern.endswith("**"):
        text = pattern.removesuffix("**")
        return (2, -len(text), 1, ()) if path.startswith(text) else None
    is_prefix = pattern.endswith("/*")
    segments = pattern.removesuffix("/*").split("/")[1:]
    names = tuple(segment.startswith("{") for segment in segments)
    parts = ("/[^/]+" if is_name else "/" + segment for segment, is_name in zip(segments, names, strict=True))
    match = re.fullmatch("(" + "".join(parts) + ")" + ("(/.*)?" if is_prefix else ""), path)
    if match is None:
        return None
    return (2 if is_prefix else int(any(names)), -len(match[1]), 0, names)


def expected(routes: list[RouteRecord], host: str, path: str, method: str) -> RouteRecord | set[str] | None:
    ranked = []
    for record in routes:
        ranks = host_rank(record.host, host), path_rank(record.path, path)
        if ranks[0] is not None and ranks[1] is not None:
            ranked.append((ranks, record))
    if not ranked:
        return None
    best = min(ranks for ranks, _ in ranked)
    same = [record for ranks, record in ranked if ranks == best]
    for record in [*(each for each in same if method in each.methods), *(each for each in same if not each.methods)]:
        return record
    return {method for record in same for method in record.methods}


@given(ROUTES, REQUEST_HOSTS, PATHS, st.sampled_from(["GET", "PUT", "POST"]))
def test_the_table_agrees_with_the_rules(routes: list[RouteRecord], host: str, path: str, method: str) -> None:
    table = compile_table(routes)
    arguments = host.encode(), path.encode(), method.encode()
    answer = table.match(*arguments)
    wanted = expected(routes, host, path, method)
    told = explain(table, *arguments)
    if isinstance(answer, CompiledRoute):
        assert answer.record == wanted
        assert [each.route for each in told.considered if each.is_chosen] == [answer.record]
        assert answer.upstream_path(arguments[1]).startswith(b"/")
    else:
        allowed = set(answer.allow.decode().split(", ")) if isinstance(answer, MethodNotAllowed) else None
        assert allowed == wanted
        assert not any(each.is_chosen for each in told.considered)
    assert told.route == (answer.record if isinstance(answer, CompiledRoute) else None)


@given(st.text(st.sampled_from("/.%2eEfF61a"), max_size=40).map(lambda text: "/" + text))
@example("/%%36%31/..")
def test_a_normal_path_has_no_dot_segments_and_begins_with_a_slash(path: str) -> None:
    normal = normal_path(path.encode())
    assert normal.startswith(b"/")
    assert not {b".", b".."} & set(normal.split(b"/"))


def test_hostile_paths_cost_no_more_than_their_length() -> None:
    table = compile_table(
        [
            route("/*", "h"),
            *(route(f"/{{a}}/{{b}}/{'{c}' if n % 2 else 'c'}/{n}/*", strip_path=True) for n in range(999)),
        ]
    )
    for path in (b"/" * 60_000, b"/a" * 30_000, b"/.." * 20_000, b"/%2e%2e" * 8_000, b"/%61" * 15_000):
        begin = time.perf_counter()
        table.match(b"x." * 30_000, path, b"GET")
        assert time.perf_counter() - begin < 0.25
