"""A service's definition in Consul's spelling, and what cannot be registered."""

from __future__ import annotations

import pytest

from discovery.consul_sd.register import Check, HttpCheck, TcpCheck, TtlCheck, definition


def test_a_definition_without_check() -> None:
    assert definition("web", "10.0.0.1", 80, tags=["a"], weight=3) == {
        "ID": "web-10.0.0.1-80",
        "Name": "web",
        "Address": "10.0.0.1",
        "Port": 80,
        "Tags": ["a"],
        "Weights": {"Passing": 3, "Warning": 1},
    }


@pytest.mark.parametrize(
    ("check", "key", "value"),
    [
        (HttpCheck("/ping"), "HTTP", "http://[fd00::1]:80/ping"),
        (TcpCheck(), "TCP", "[fd00::1]:80"),
        (TtlCheck(1.5), "TTL", "1500ms"),
    ],
)
def test_checks(check: Check, key: str, value: str) -> None:
    service = definition("web", "fd00::1", 80, check=check)["Check"]
    assert isinstance(service, dict)
    assert service[key] == value
    assert ("Status" in service) == (key == "TTL")


@pytest.mark.parametrize(
    ("name", "address", "port", "weight", "check", "word"),
    [
        ("", "a", 1, 1, None, "name"),
        ("a/b", "a", 1, 1, None, "name"),
        ("a", "", 1, 1, None, "address"),
        ("a", "10.0.0.1:80", 1, 1, None, "without port"),
        ("a", "[::1]", 1, 1, None, "brackets"),
        ("a", "a", 0, 1, None, "port"),
        ("a", "a", 1, 0, None, "weight"),
        ("a", "a", 1, 1, HttpCheck("ping"), "begin with"),
        ("a", "a", 1, 1, TtlCheck(0), "TTL"),
    ],
)
def test_what_cannot_be_registered(
    name: str, address: str, port: int, weight: int, check: Check | None, word: str
) -> None:
    with pytest.raises(ValueError, match=word):
        definition(name, address, port, weight=weight, check=check)
