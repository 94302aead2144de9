"""`gw register` and `gw deregister` against a real Consul."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cli.registration import RegistrationError, deregister_service, register_service
from discovery.settings import ConsulSettings
from tests.consul import ConsulServer, free_ports


@pytest.fixture(scope="module")
def consul() -> Iterator[ConsulServer]:
    with ConsulServer() as server:
        yield server


@pytest.fixture
def settings(consul: ConsulServer) -> ConsulSettings:
    return ConsulSettings(address=consul.address)


def checks_of(consul: ConsulServer, name: str) -> list[tuple[str, str]]:
    (entry,) = consul.get(f"/v1/health/service/{name}")
    return [(each["Type"], each["Status"]) for each in entry["Checks"] if each["CheckID"] != "serfHealth"]


def test_a_service_is_registered_and_removed(consul: ConsulServer, settings: ConsulSettings) -> None:
    service_id = register_service("a", "10.0.0.1", 80, tags=["gw.path=/a/*"], weight=3, consul=settings)
    assert service_id == "a-10.0.0.1-80"
    service = consul.get(f"/v1/agent/service/{service_id}")
    assert (service["Service"], service["Address"], service["Port"]) == ("a", "10.0.0.1", 80)
    assert (service["Tags"], service["Weights"]) == (["gw.path=/a/*"], {"Passing": 3, "Warning": 1})
    deregister_service(service_id, consul=settings)
    assert service_id not in consul.get("/v1/agent/services")


def test_a_ttl_check_starts_as_passing_and_others_as_critical(consul: ConsulServer, settings: ConsulSettings) -> None:
    register_service("ttl", "127.0.0.1", 1, check_ttl=3600, consul=settings)
    register_service("http", "127.0.0.1", 1, check_http="/ping", consul=settings)
    register_service("tcp", "127.0.0.1", 1, check_tcp=True, consul=settings)
    assert checks_of(consul, "ttl") == [("ttl", "passing")]
    assert checks_of(consul, "http") == [("http", "critical")]
    assert checks_of(consul, "tcp") == [("tcp", "critical")]


def test_registering_again_replaces_the_checks(consul: ConsulServer, settings: ConsulSettings) -> None:
    register_service("twice", "127.0.0.1", 1, check_tcp=True, consul=settings)
    register_service("twice", "127.0.0.1", 1, consul=settings)
    assert checks_of(consul, "twice") == []


def test_what_is_not_there_cannot_be_removed(settings: ConsulSettings) -> None:
    with pytest.raises(RegistrationError, match="no service with the id 'nobody'"):
        deregister_service("nobody", consul=settings)


def test_two_checks_are_one_too_many(settings: ConsulSettings) -> None:
    with pytest.raises(RegistrationError, match="choose one check"):
        register_service("a", "127.0.0.1", 1, check_tcp=True, check_ttl=5, consul=settings)


def test_a_consul_that_is_not_there_is_a_sentence() -> None:
    settings = ConsulSettings(address=f"http://127.0.0.1:{free_ports(1)[0]}")
    with pytest.raises(RegistrationError, match=r"Consul at http://127\.0\.0\.1:\d+.*cannot connect"):
        register_service("a", "127.0.0.1", 1, consul=settings)


def test_a_wrong_address_is_a_sentence(settings: ConsulSettings) -> None:
    with pytest.raises(RegistrationError, match="without port"):
        register_service("a", "127.0.0.1:80", 80, consul=settings)
