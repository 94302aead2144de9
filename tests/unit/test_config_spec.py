"""Services from options: what tags and KV say, as text without types."""

from __future__ import annotations

import pytest

from discovery.model import Origin, OriginKind, ServiceSpec, StaticTarget
from discovery.settings import HealthSettings, ProbeType
from gateway.config.load import ConfigError, service_from_options

TAG = Origin(OriginKind.TAG, "service users, instance users-1")


def refused(**options: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        service_from_options("users", TAG, {key.replace("__", "."): value for key, value in options.items()})
    return list(caught.value.problems)


def test_no_options_give_the_defaults() -> None:
    assert service_from_options("users", TAG, {}) == ServiceSpec(name="users", origin=TAG)


def test_text_becomes_what_each_key_needs() -> None:
    service = service_from_options(
        "users",
        TAG,
        {
            "consul": "user-service",
            "balance": "weighted",
            "connect_timeout": "1.5",
            "max_in_flight": "20",
            "health.type": "TCP",
            "health.interval": "10",
            "health.expected_status": "200-204",
            "outlier.max_ejected_percent": "0",
        },
    )
    assert (service.consul, service.balance, service.max_in_flight) == ("user-service", "weighted", 20)
    assert service.connect_timeout == 1.5
    assert service.health == HealthSettings(type=ProbeType.TCP, interval=10.0, expected_status=((200, 204),))
    assert service.outlier.max_ejected_percent == 0


def test_typed_values_and_nested_tables_do_as_well() -> None:
    instances = ["http://a:1", {"url": "http://b:2", "weight": "3"}]
    options = {"instances": instances, "health": {"path": "/x"}, "health.timeout": 1}
    service = service_from_options("users", TAG, options)
    assert service.targets == (StaticTarget("a", 1), StaticTarget("b", 2, 3))
    assert (service.health.path, service.health.timeout) == ("/x", 1.0)


def test_the_callers_options_stay_as_they_are() -> None:
    options: dict[str, object] = {"health": {"path": "/x"}, "health.timeout": 1}
    service_from_options("users", TAG, options)
    assert options == {"health": {"path": "/x"}, "health.timeout": 1}


def test_variables_of_the_environment_are_not_read() -> None:
    assert service_from_options("users", TAG, {"health.path": "/$HOME"}).health.path == "/$HOME"
    assert service_from_options("users", TAG, {"consul": "${HOME}"}).consul == "${HOME}"


def test_every_problem_names_the_origin_and_the_option() -> None:
    start = "tag: service users, instance users-1: "
    assert refused(health__pth="/x", connect_timeout="soon") == [
        f'{start}connect_timeout: must be a number; it is "soon"',
        f'{start}health.pth: unknown key (did you mean "path"?)',
    ]
    assert refused(name="x") == [f"{start}name: cannot be an option, the service is named already"]
    assert refused(health="x", health__path="/x")[0] == (
        f"{start}health.path: health has a value of its own, so nothing can be below it"
    )
    assert refused(health__path__a="x") == [f"{start}health.path: must be a string; it is a table"]
