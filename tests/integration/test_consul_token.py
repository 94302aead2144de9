"""A Consul that asks for tokens: the right one works, a wrong one is reported, and none is ever in a URL."""

from __future__ import annotations

import logging

import pytest

from cli.registration import RegistrationError, register_service
from discovery.consul_sd.client import ConsulClient
from discovery.consul_sd.errors import Forbidden
from discovery.settings import ConsulSettings
from tests.consul import ConsulServer
from tests.integration.test_consul_discovery import address, watched

TOKEN = "5ecc9e7b-2f3a-4a6e-9b86-0d8d1a2f7c11"
ACL = f'acl {{ enabled = true default_policy = "deny" tokens {{ master = "{TOKEN}" }} }}'


async def test_the_token_opens_consul_and_is_in_no_url(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with ConsulServer(ACL, token=TOKEN) as consul:
        consul.register("web", 9001)
        async with watched(consul, "web", token=TOKEN) as seen:
            await seen.wait_for("web", address, "127.0.0.1:9001")
        async with watched(consul, "web", token="wrong") as seen:
            await seen.wait_until(lambda: seen.state is not None and seen.state.stale)
            assert seen.state is not None
            assert "403" in seen.state.error
            assert "wrong" not in seen.state.error
            assert seen.answers == {}
        async with ConsulClient(ConsulSettings(address=consul.address, token="wrong")) as client:
            with pytest.raises(Forbidden):
                await client.health("web")
    assert any("/v1/health/service/web?" in record.getMessage() for record in caplog.records)
    assert not any(TOKEN in record.getMessage() or "token=" in record.getMessage() for record in caplog.records)


def test_registering_without_permission_is_a_sentence() -> None:
    with ConsulServer(ACL, token=TOKEN) as consul:
        with pytest.raises(RegistrationError, match="403"):
            register_service("web", "127.0.0.1", 9001, consul=ConsulSettings(address=consul.address))
        settings = ConsulSettings(address=consul.address, token=TOKEN)
        assert register_service("web", "127.0.0.1", 9001, consul=settings) == "web-127.0.0.1-9001"
