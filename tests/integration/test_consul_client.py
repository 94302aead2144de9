"""Every call of the client against a real Consul: the adapter's suite, for python-consul and py-consul alike."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from discovery.consul_sd.client import ConsulClient
from discovery.consul_sd.permissions import NODE_READ
from discovery.consul_sd.register import definition, deregister, register
from discovery.settings import ConsulSettings
from tests.consul import ConsulServer


@pytest.fixture(scope="module")
def consul() -> Iterator[ConsulServer]:
    with ConsulServer() as server:
        yield server


async def test_every_call_is_answered(consul: ConsulServer) -> None:
    async with ConsulClient(ConsulSettings(address=consul.address, datacenter="dc1"), wait=0.1) as client:
        service = await register(client, definition("web", "127.0.0.1", 9001, tags=["a"], weight=3))
        assert service in await client.agent_services()

        health = await client.health("web")
        assert health.data[0]["Service"]["Weights"]["Passing"] == 3
        assert (await client.health("web", health.index)).index == health.index  # nothing changed within the wait
        assert (await client.services()).data["web"] == ["a"]
        assert [each["CheckID"] for each in json.loads((await client.checks()).data)] == ["serfHealth"]
        assert await client.denied([NODE_READ]) == ()  # without ACLs nothing is

        nothing = await client.keys("gw/")
        assert (nothing.data, nothing.index >= 1) == (None, True)
        consul.put_key("gw/a", "x")
        consul.put_key("gw/b", "")
        keys = await client.keys("gw/", nothing.index)
        assert {each["Key"]: each["Value"] for each in keys.data} == {"gw/a": b"x", "gw/b": None}

        await deregister(client, service)
        assert (await client.health("web")).data == []
