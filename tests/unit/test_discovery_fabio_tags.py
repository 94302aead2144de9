"""Fabio's tags: what each option becomes, what is refused, and which instances a route has."""

from __future__ import annotations

import pytest

from discovery.merge import merge_routes
from discovery.model import Handling, Origin, OriginKind, RouteSpec, Share
from discovery.tags import InstanceTags, TagReading, read_tags


def read(**tags: list[str]) -> TagReading:
    """The reading of service web, whose instances a, b... are registered at 10.0.0.1:80, 10.0.0.2:80..."""
    instances = [InstanceTags(name, tuple(each), f"10.0.0.{at}:80") for at, (name, each) in enumerate(tags.items(), 1)]
    return read_tags("web", instances, ("gw.", "urlprefix-"))


def only_route(tag: str) -> RouteSpec:
    reading = read(a=[tag])
    assert not reading.problems
    (route,) = reading.routes
    return route


@pytest.mark.parametrize(
    ("tag", "host", "path"),
    [
        ("urlprefix-/", "", "/*"),
        ("urlprefix-/css", "", "/css**"),
        ("urlprefix-/css/", "", "/css/**"),
        (" urlprefix- /css ", "", "/css**"),
        ("urlprefix-i.com/static", "i.com", "/static**"),
        ("urlprefix-WWW.Mysite.com/", "www.mysite.com", "/*"),
        ("urlprefix-*.example.com/foo/bar", "*.example.com", "/foo/bar**"),
        ("urlprefix-example.com:80/", "example.com:80", "/*"),
        ("urlprefix-1.1.1.1:9999/x", "1.1.1.1:9999", "/x**"),
    ],
)
def test_host_and_path(tag: str, host: str, path: str) -> None:
    route = only_route(tag)
    assert (route.host, route.path, route.handling, route.share) == (host, path, Handling(), Share())


@pytest.mark.parametrize(
    ("options", "handling"),
    [
        ("strip=/foo", Handling(strip="/foo")),
        ("strip=/other", Handling(strip="/other")),
        ("prepend=/baz strip=/foo", Handling(strip="/foo", prepend="/baz")),
        ("prepend=baz", Handling(prepend="/baz")),
        ("host=dst", Handling(host="dst")),
        ("host=Example.com:8080", Handling(host="example.com:8080")),
        ("proto=http", Handling()),
        ("proto=ws", Handling()),
        ("redirect=301,https://www.google.com/", Handling(redirect=301, location="https://www.google.com/")),
        ("redirect=303,https://www.foo.com$path", Handling(redirect=303, location="https://www.foo.com$path")),
        ("redirect=308,https://$host/new/$path?a=b", Handling(redirect=308, location="https://$host/new/$path?a=b")),
        ("allow=ip:10.0.0.0/8,ip:fe80::/10", Handling(allow=("10.0.0.0/8", "fe80::/10"))),
        ("allow=ip:10.1.2.3", Handling(allow=("10.1.2.3/32",))),
        ("allow=ip:10.1.2.3/8", Handling(allow=("10.0.0.0/8",))),
        ("deny=ip:fe80::1234,100.123.0.0/16", Handling(deny=("fe80::1234/128", "100.123.0.0/16"))),
    ],
)
def test_an_option_becomes_what_the_route_does(options: str, handling: Handling) -> None:
    route = only_route(f"urlprefix-/foo {options}")
    assert route.handling == handling
    assert route.options == " ".join(sorted(options.split()))


@pytest.mark.parametrize(
    ("option", "fraction"), [("0.2", 0.2), (".05", 0.05), ("1", 1.0), ("3", 3.0), ("0", 0.0), ("-1", 0.0), ("1.", 1.0)]
)
def test_a_weight_is_a_fraction(option: str, fraction: float) -> None:
    assert only_route(f"urlprefix-/foo weight={option}").share == Share(fraction)


@pytest.mark.parametrize(
    "option",
    [
        "auth=basic", "proto=https", "proto=tcp", "proto=grpc", "proto=grpcs", "proto=", "tlsskipverify=true",
        "pxyproto=true", "register=other", "grpcservername=x", "surprise", "strip=", "strip=foo", "strip=/a*",
        "prepend=", "host=", "host=a/b", "host=*.example.com", "weight=", "weight=half", "weight=nan", "weight=1e3",
        "redirect=301", "redirect=200,https://example.com", "redirect=304,https://example.com", "redirect=301,/here",
        "redirect=301,//example.com", "redirect=301,https://a@example.com", "redirect=301,https://a,https://b",
        "redirect=301,javascript:alert(1)", "redirect=301,https://example.com#a", "redirect=301,https://", "allow=",
        "allow=ip:", "allow=10.0.0.0/8", "allow=ip:10.0.0.0/33", "allow=ip:10.0.0.0/8,host:b", "allow=ip:example.com",
        "deny=ip:10.0.0.1-10.0.0.9", "deny=ip:::ffff:10.0.0.1", "allow=ip:10.0.0.1 deny=ip:10.0.0.2",
        "weight=0.1 weight=0.2", "strip=/foo strip=/foo",
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_refused_and_stays_closed(option: str) -> None:
    tag = f"urlprefix-/foo {option}"
    reading = read(a=[tag, "urlprefix-/"])
    good, refused = reading.routes
    assert (good.path, good.is_refused) == ("/*", False)
    assert (refused.path, refused.is_refused) == ("/foo**", True)
    (problem,) = reading.problems
    assert problem.origin.detail == f"service web, instance a, tag {tag}"
    assert problem.message.endswith("; its route is refused")


@pytest.mark.parametrize(
    "target",
    [
        "", " ", ":3306", ":3306 proto=tcp", "example.com", "example.com:0/", "example.com:99999/", "*.a.com:80/",
        "*/x", "a_b.$DC/x", "/$DC/x", "/x*", "/{id}", "/a?b", "/ü", "[::1]/x",
    ],
)  # fmt: skip
def test_a_target_that_is_no_route_costs_itself_alone(target: str) -> None:
    reading = read(a=[f"urlprefix-{target}", "urlprefix-/good"])
    assert [route.path for route in reading.routes] == ["/good**"]
    assert len(reading.problems) == 1


def test_a_route_has_the_instances_that_carry_its_tag_and_no_others() -> None:
    reading = read(a=["urlprefix-/x", "urlprefix-/y"], b=["urlprefix-/y"], c=[])
    assert [(route.path, route.share) for route in reading.routes] == [
        ("/x**", Share(0.0, ("10.0.0.1:80",))),
        ("/y**", Share(0.0, ("10.0.0.1:80", "10.0.0.2:80"))),
    ]


def test_a_tag_of_all_instances_needs_no_list_of_them() -> None:
    assert [route.share for route in read(a=["urlprefix-/x"], b=["urlprefix-/x"]).routes] == [Share()]


def test_instances_that_say_different_things_of_a_path_are_parts_of_its_split() -> None:
    reading = read(a=["urlprefix-/x"], b=["urlprefix-/x weight=0.2 strip=/x"], c=["urlprefix-/x strip=/x  weight=0.2"])
    assert [(route.options, route.share) for route in reading.routes] == [
        ("", Share(0.0, ("10.0.0.1:80",))),
        ("strip=/x weight=0.2", Share(0.2, ("10.0.0.2:80", "10.0.0.3:80"))),
    ]
    assert not reading.problems
    assert merge_routes(reading.routes) == (reading.routes, ())


def test_a_refused_tag_costs_its_instance_the_route_and_leaves_it_to_the_others() -> None:
    reading = read(a=["urlprefix-/x"], b=["urlprefix-/x auth=basic"])
    assert [(route.share, route.is_refused) for route in reading.routes] == [(Share(0.0, ("10.0.0.1:80",)), False)]
    assert "auth=basic: is not supported" in reading.problems[0].message


def test_routes_of_several_services_share_and_other_routes_do_not() -> None:
    def spec(service: str, tag: str, share: Share | None, *, is_refused: bool = False) -> RouteSpec:
        return RouteSpec("/*", service, Origin(OriginKind.TAG, tag), share=share, is_refused=is_refused)

    shared = [spec("a", "1", Share()), spec("b", "2", Share(0.2))]
    refused = spec("c", "3", None, is_refused=True)
    assert merge_routes([*shared, refused]) == (tuple(shared), ())
    assert merge_routes([refused]) == ((refused,), ())
    own = spec("d", "4", None)
    kept, problems = merge_routes([own, *shared, refused])
    assert kept == tuple(shared)
    assert [problem.origin.detail for problem in problems] == ["4"]
    file = RouteSpec("/*", "e", Origin(OriginKind.FILE, "gateway.toml routes[0]"))
    kept, problems = merge_routes([*shared, refused, file])
    assert kept == (file,)
    assert [problem.origin.detail for problem in problems] == ["1", "2"]
