"""Routes of file, KV and tags become one set."""

from __future__ import annotations

from discovery.merge import merge_routes
from discovery.model import Origin, OriginKind, RouteSpec


def route(
    kind: OriginKind, detail: str, path: str = "/x", *, host: str = "", methods: tuple[str, ...] = ()
) -> RouteSpec:
    return RouteSpec(path, "s", Origin(kind, detail), host=host, methods=methods)


FILE, KV, TAG = OriginKind.FILE, OriginKind.KV, OriginKind.TAG


def test_the_file_wins_over_kv_and_kv_over_tags() -> None:
    tag, kv, file = route(TAG, "t"), route(KV, "k"), route(FILE, "f")
    kept, problems = merge_routes([tag, kv, file])
    assert kept == (file,)
    assert [problem.message for problem in problems] == ["route /x of service s is already taken by file: f"] * 2
    assert merge_routes([tag, kv])[0] == (kv,)


def test_different_hosts_paths_and_methods_do_not_meet() -> None:
    routes = [
        route(FILE, "1", methods=("GET",)),
        route(TAG, "2", methods=("POST",)),
        route(TAG, "3", host="example.com"),
        route(TAG, "4", "/x/*"),
    ]
    assert merge_routes(routes) == (tuple(routes), ())


def test_one_method_in_common_is_enough_and_none_means_all() -> None:
    file = route(FILE, "1", methods=("GET", "PUT"))
    assert merge_routes([file, route(TAG, "2", methods=("PUT",))])[0] == (file,)
    assert merge_routes([file, route(TAG, "2")])[0] == (file,)


def test_names_of_segments_and_case_of_hosts_make_no_difference() -> None:
    file = route(FILE, "1", "/u/{id}", host="A.example")
    assert merge_routes([file, route(TAG, "2", "/u/{name}", host="a.example")])[0] == (file,)


def test_among_tags_the_order_of_arrival_does_not_matter() -> None:
    first, second = route(TAG, "service a"), route(TAG, "service b")
    assert merge_routes([first, second]) == merge_routes([second, first])
    assert merge_routes([second, first])[0] == (first,)
