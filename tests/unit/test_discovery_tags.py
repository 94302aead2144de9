"""Tags of a Consul service become routes, options and problems."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.model import Origin, OriginKind, RouteSpec
from discovery.tags import InstanceTags, TagReading, read_tags

PREFIXES = ("gw.", "urlprefix-")


def read(*tags: str) -> TagReading:
    return read_tags("users", [InstanceTags("users-1", tags)], PREFIXES)


def read_all(**tags: list[str]) -> TagReading:
    return read_tags("users", [InstanceTags(name, tuple(each)) for name, each in tags.items()], PREFIXES)


def keys(reading: TagReading) -> list[tuple[str, str]]:
    """Host and path of the routes that take requests."""
    return [(route.host, route.path) for route in reading.routes if not route.is_refused]


def only_message(reading: TagReading) -> str:
    (problem,) = reading.problems
    return problem.message


def test_a_path_makes_a_route_that_says_where_it_came_from() -> None:
    reading = read("gw.path=/api/v1/users/*", "other")
    origin = Origin(OriginKind.TAG, "service users, instance users-1, tag gw.path=/api/v1/users/*")
    assert reading == TagReading(routes=(RouteSpec("/api/v1/users/*", "users", origin),))


def test_every_path_is_combined_with_every_host_and_all_else() -> None:
    reading = read(
        "gw.path=/a", "gw.path=/b/{id}/*", "gw.host=API.example.com", "gw.host=*.example.org", "gw.methods=GET, POST",
        "gw.strip_path=true", "gw.timeout=2.5", "gw.per_try_timeout=1", "gw.stream_idle_timeout=9", "gw.retry_count=0",
        "gw.headers.X-Version=2",
    )  # fmt: skip
    assert keys(reading) == [
        ("api.example.com", "/a"),
        ("*.example.org", "/a"),
        ("api.example.com", "/b/{id}/*"),
        ("*.example.org", "/b/{id}/*"),
    ]
    assert not reading.problems
    for route in reading.routes:
        assert (route.methods, route.strip_path, route.retry_count) == (("GET", "POST"), True, 0)
        assert (route.timeout, route.per_try_timeout, route.stream_idle_timeout) == (2.5, 1.0, 9.0)
        assert route.headers == (("X-Version", "2"),)


def test_options_of_the_service_are_sorted_and_in_their_normal_form() -> None:
    reading = read("gw.hash_on=path", "gw.balance=Weighted", "gw.slow_start=2.50", "gw.max_in_flight=07")
    expected = (("balance", "weighted"), ("hash_on", "path"), ("max_in_flight", "7"), ("slow_start", "2.5"))
    assert reading == TagReading(options=expected)


@pytest.mark.parametrize(
    ("tag", "word"),
    [
        ("gw.auth=basic", "no key auth"),
        ("gw.metods=GET", "no key metods"),
        ("gw.enable", "KEY=VALUE"),
        ("gw.methods=get", "upper case"),
        ("gw.host=exa mple", "host name"),
        ("gw.host=example.com:80", "without port"),
        ("gw.timeout=soon", "must be seconds"),
        ("gw.timeout=0", "above 0"),
        ("gw.timeout=nan", "must be seconds"),
        ("gw.retry_count=-1", "whole number"),
        ("gw.strip_path=yes", "true or false"),
        ("gw.headers.Host=x", "must not set Host"),
        ("gw.headers.X-A=a\r\nB: c", "visible ASCII"),
    ],
)
def test_a_tag_not_understood_costs_the_routes_of_its_instance(tag: str, word: str) -> None:
    reading = read("gw.path=/x", "urlprefix-/fabio", tag)
    assert keys(reading) == [("", "/fabio**")]
    assert word in only_message(reading)
    assert reading.problems[0].origin.detail == f"service users, instance users-1, tag {tag}"


@pytest.mark.parametrize("path", ["users", "", "/a*", "/*/b", "/a{id}", "/{a}/{a}", "/a?b", "/a b", "/a#b", "/ü"])
def test_a_bad_path_costs_its_own_route_alone(path: str) -> None:
    reading = read(f"gw.path={path}", "gw.path=/good")
    assert keys(reading) == [("", "/good")]
    assert "its route is refused" in only_message(reading)


@pytest.mark.parametrize(
    "tag", ["gw.balance=best", "gw.health.interval=0", "gw.health.surprise=1", "gw.health.path", "gw.hash_on=header:"]
)
def test_a_bad_option_is_left_out_and_costs_no_route(tag: str) -> None:
    reading = read("gw.path=/x", tag)
    assert keys(reading) == [("", "/x")]
    assert reading.options == ()
    assert "left out" in only_message(reading)


def test_a_host_without_a_path_is_a_problem() -> None:
    assert "add a tag path=/*" in only_message(read("gw.host=example.com"))


def test_a_value_said_twice_is_ambiguous() -> None:
    reading = read("gw.path=/x", "gw.timeout=1", "gw.timeout=2")
    assert not reading.routes
    assert "must not be said twice (tag gw.timeout=1)" in only_message(reading)


def test_the_same_route_of_several_instances_is_one() -> None:
    reading = read_all(b=["gw.path=/x", "gw.timeout=5"], a=["gw.timeout=5.0", "gw.path=/x"])
    assert keys(reading) == [("", "/x")]
    assert reading.routes[0].origin.detail.startswith("service users, instance a,")
    assert not reading.problems


def test_where_instances_differ_the_first_by_id_wins() -> None:
    reading = read_all(
        b=["gw.path=/x", "gw.timeout=9", "gw.balance=random"], a=["gw.path=/x", "gw.timeout=5", "gw.balance=weighted"]
    )
    assert [route.timeout for route in reading.routes] == [5.0]
    assert reading.options == (("balance", "weighted"),)
    assert [problem.origin.detail.split(",")[1] for problem in reading.problems] == [" instance b", " instance b"]


def test_all_instances_contribute() -> None:
    assert keys(read_all(a=["gw.path=/x"], b=["gw.path=/y"])) == [("", "/x"), ("", "/y")]


def test_a_harmless_mistake_of_one_instance_leaves_the_route_to_the_others() -> None:
    reading = read_all(a=["gw.path=/x", "gw.timeout=soon"], b=["gw.path=/x"])
    assert keys(reading) == [("", "/x")]


@pytest.mark.parametrize(
    ("bad", "good"),
    [
        (["gw.path=/x/*", "gw.auth=basic"], ["gw.path=/x/*"]),
        (["gw.path=/x/*", "gw.methods=?"], ["gw.path=/x/*"]),
        (["urlprefix-/x auth=basic"], ["gw.path=/x/*"]),
        (["urlprefix-/x auth=basic", "urlprefix-/x"], ["gw.path=/x/*"]),
    ],
)
def test_what_one_instance_wanted_closed_is_not_opened_by_another(bad: list[str], good: list[str]) -> None:
    reading = read_all(b=bad, a=good)
    assert not {("", "/x/*")}.intersection(keys(reading))
    assert any("was to close it" in problem.message for problem in reading.problems)


def test_a_refused_route_stays_as_such_so_that_no_other_gets_its_requests() -> None:
    reading = read("gw.path=/x/*", "gw.auth=basic")
    origin = Origin(OriginKind.TAG, "service users, instance users-1, tag gw.auth=basic")
    assert reading.routes == (RouteSpec("/x/*", "users", origin, is_refused=True),)


def test_other_prefixes_can_be_chosen() -> None:
    reading = read_tags("s", [InstanceTags("a", ("edge.path=/x", "gw.path=/y", "fab-/z"))], ("edge.", "fab-"))
    assert keys(reading) == [("", "/x"), ("", "/z**")]


@given(st.lists(st.one_of(st.text(), st.text().map("gw.".__add__), st.text().map("urlprefix-/".__add__))))
def test_no_tag_whatever_raises_and_each_is_either_used_or_named(tags: list[str]) -> None:
    reading = read(*tags)
    for route in reading.routes:
        assert route.path.startswith("/")
    assert read_tags("users", [InstanceTags("users-1", tuple(reversed(tags)))], ()) == TagReading()


def test_failover_names_datacenters_in_order() -> None:
    assert read("gw.path=/a", "gw.failover=dc2, dc3").options == (("failover", "dc2,dc3"),)
    for bad in ("", "DC2", "dc2,,dc3", "dc2,dc2"):
        reading = read("gw.path=/a", f"gw.failover={bad}")
        assert reading.options == ()
        assert "failover must" in only_message(reading)
