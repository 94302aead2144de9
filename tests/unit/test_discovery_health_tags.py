"""Health tags are about the instance that carries them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discovery.health_tags import overridden, read_health_tag, read_overrides
from discovery.model import Origin, OriginKind
from discovery.settings import HealthSettings, ProbeType
from discovery.tags import InstanceTags, TagReading, read_tags
from gateway.config.load import ConfigError, service_from_options

PREFIXES = ("gw.", "urlprefix-")


def found(*tags: str, service: HealthSettings | None = None) -> HealthSettings:
    return overridden(service or HealthSettings(), read_overrides(tags, PREFIXES))


def report(*tags: str) -> TagReading:
    return read_tags("users", [InstanceTags("users-1", tags)], PREFIXES)


def test_every_key_may_be_said() -> None:
    tags = {
        "type": "HTTP", "interval": "2.5", "timeout": "0.5", "healthy_threshold": "1", "unhealthy_threshold": "9",
        "port": "9090", "host": "Users.internal:443", "tls": "true", "tls_verify": "false", "method": "HEAD",
        "path": "/ready?x=1", "expected_status": "200-299,404", "body_contains": "UP", "headers.X-Probe": "a b",
        "send": "PING", "expect": "PONG", "service": "users.v1.Users",
    }  # fmt: skip
    said = [f"gw.health.{key}={value}" for key, value in tags.items()]
    assert found(*said) == HealthSettings(
        type=ProbeType.HTTP, interval=2.5, timeout=0.5, healthy_threshold=1, unhealthy_threshold=9, port=9090,
        host="users.internal:443", tls=True, tls_verify=False, method="HEAD", path="/ready?x=1",
        expected_status=((200, 299), (404, 404)), body_contains="UP", headers=(("X-Probe", "a b"),), send="PING",
        expect="PONG", service="users.v1.Users",
    )  # fmt: skip
    assert report(*said) == TagReading()


def test_an_instances_tags_win_over_its_services_settings_and_the_rest_stays() -> None:
    service = HealthSettings(path="/health", interval=9.0, headers=(("X-A", "service"), ("X-B", "service")))
    own = found("gw.health.path=/ping", "gw.health.headers.x-a=own", service=service)
    assert (own.path, own.interval) == ("/ping", 9.0)
    assert own.headers == (("x-a", "own"), ("X-B", "service"))


def test_without_such_tags_the_settings_are_the_services_own() -> None:
    service = HealthSettings(path="/x")
    assert found("gw.path=/api", "other", "urlprefix-/health.path=/x", service=service) is service


@pytest.mark.parametrize(
    ("tag", "why"),
    [
        ("gw.health.type=ping", "must be one of http, tcp, grpc, none"),
        ("gw.health.interval=0", "must be seconds from 0.1"),
        ("gw.health.port=70000", "must be a whole number from 0 to 65535"),
        ("gw.health.path=ping", 'must begin with "/"'),
        ("gw.health.path", 'must begin with "/"'),
        ("gw.health.method=GET,POST", "must be one method"),
        ("gw.health.expected_status=399-200", "must be status codes"),
        ("gw.health.host=*.internal", "must be one host"),
        ("gw.health.host=a:b", "must be HOST or HOST:PORT"),
        ("gw.health.headers.Host=x", "must not set Host"),
        ("gw.health.body_regex=(a+)+$", "can be said in the gateway's file only"),
        ("gw.health.tls_ca_file=/etc/passwd", "can be said in the gateway's file only"),
        ("gw.health.expect=", "must be 1 to 1024 characters"),
        ("gw.health.pth=/x", "is not understood; the keys are body_contains, "),
    ],
)
def test_a_bad_tag_costs_itself_alone_and_is_reported(tag: str, why: str) -> None:
    assert found(tag, "gw.health.timeout=1") == HealthSettings(timeout=1.0)
    reading = report("gw.path=/x", tag, "gw.health.timeout=1")
    assert [route.path for route in reading.routes] == ["/x"]
    (problem,) = reading.problems
    assert why in problem.message
    assert problem.message.endswith("; it is left out")
    assert problem.origin == Origin(OriginKind.TAG, f"service users, instance users-1, tag {tag}")


def test_the_first_of_two_that_differ_wins_and_the_other_is_reported() -> None:
    tags = ("gw.health.path=/a", "gw.health.path=/b", "gw.health.headers.X-A=1", "gw.health.headers.x-a=2")
    assert found(*tags) == HealthSettings(path="/a", headers=(("X-A", "1"),))
    assert [problem.message for problem in report(*tags).problems] == [
        "health.path is said before, by tag gw.health.path=/a, which wins",
        "health.headers.x-a is said before, by tag gw.health.headers.X-A=1, which wins",
    ]


def test_instances_may_differ_without_a_problem() -> None:
    each = [InstanceTags(name, (f"gw.health.path=/{name}",)) for name in "ab"]
    assert read_tags("users", each, PREFIXES) == TagReading()


@pytest.mark.parametrize("text", ["200", "200-299", "200,399", "200-299,404", "204,404,500-503", "201, 202"])
def test_a_tag_reads_as_the_file_does(text: str) -> None:
    spec = service_from_options("users", Origin(OriginKind.TAG, ""), {"health.expected_status": text})
    assert found(f"gw.health.expected_status={text}").expected_status == spec.health.expected_status


KEYS = st.sampled_from(["type", "interval", "port", "host", "tls", "method", "path", "expected_status", "headers.X-A"])
VALUES = st.one_of(st.text(max_size=12), st.from_regex(r"[0-9a-zA-Z/.,:_-]{0,12}", fullmatch=True))


@given(key=KEYS, value=VALUES)
@settings(deadline=None)
def test_whatever_a_tag_says_the_file_would_take_it_too(key: str, value: str) -> None:
    try:
        name, read = read_health_tag(f"health.{key}", value)
    except ValueError:
        return
    as_text: dict[str, Any] = {f"health.{key}": value}
    try:
        spec = service_from_options("users", Origin(OriginKind.TAG, ""), as_text)
    except ConfigError as error:
        raise AssertionError(f"{key}={value!r} is {read!r} in a tag") from error
    assert overridden(HealthSettings(), ((name, (read,) if name == "headers" else read),)) == spec.health
