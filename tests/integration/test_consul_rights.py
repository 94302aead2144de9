"""ACLs with a default policy of deny: what the token lacks is said by name, and hides nothing that is known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from discovery.consul_sd.client import ConsulClient
from discovery.consul_sd.errors import Forbidden
from discovery.settings import ConsulSettings
from tests.backends import start_backend
from tests.consul import ConsulServer
from tests.gateways import RunningGateway, start_gateway
from tests.integration.test_consul_discovery import address, watched
from tests.integration.test_consul_token import ACL, TOKEN

SERVICE = 'service_prefix "" { policy = "read" }'
NODE = 'node_prefix "" { policy = "read" }'
KEYS = 'key_prefix "gw/" { policy = "read" }'


@pytest.fixture(scope="module")
def consul() -> Iterator[ConsulServer]:
    with ConsulServer(ACL, token=TOKEN) as server:
        server.register("web", 9001)
        server.put_key("gw/routes/a", "x")
        yield server


async def test_a_token_that_reads_everything_has_no_problems(consul: ConsulServer) -> None:
    async with watched(consul, "web", watch_keys=True, token=consul.new_token(SERVICE + NODE + KEYS)) as seen:
        await seen.wait_for("web", address, "127.0.0.1:9001")
        await seen.wait_until(lambda: seen.keys == [("gw/routes/a", b"x")])
        assert seen.problems == []


@pytest.mark.parametrize(
    ("rules", "missing"),
    [
        (SERVICE + KEYS, "node:read"),
        (NODE + KEYS, 'service:read on "web" and service:read'),
        (SERVICE + NODE, 'key_prefix:read "gw/"'),
    ],
)
async def test_what_is_hidden_without_a_word_is_named(consul: ConsulServer, rules: str, missing: str) -> None:
    async with watched(consul, "web", watch_keys=True, token=consul.new_token(rules)) as seen:
        await seen.wait_until(lambda: any(f"the token lacks {missing}:" in each for each in seen.problems))


async def test_a_token_that_is_unknown_is_a_problem_that_names_what_is_needed(consul: ConsulServer) -> None:
    async with watched(consul, "web", watch_tags=False, token="unknown") as seen:
        await seen.wait_until(lambda: seen.problems != [])
        (sentence,) = seen.problems
        assert "with 403: ACL not found; Consul does not know this token" in sentence
        assert sentence.endswith('with service:read on "web" and node:read')
    async with ConsulClient(ConsulSettings(address=consul.address)) as client:
        with pytest.raises(Forbidden, match="give a token with service:write"):
            await client.register({"Name": "x"})


async def test_losing_a_permission_loses_no_instance_and_regaining_it_is_seen(consul: ConsulServer) -> None:
    consul.put("/v1/acl/policy", {"Name": "changing", "Rules": SERVICE + NODE})
    policy = consul.get("/v1/acl/policy/name/changing")
    token = consul.new_token_with("changing")
    async with watched(consul, "web", watch_tags=False, token=token, wait=0.5, grace=0.5) as seen:
        await seen.wait_for("web", address, "127.0.0.1:9001")
        consul.put(f"/v1/acl/policy/{policy['ID']}", {"Name": "changing", "Rules": SERVICE})
        await seen.wait_until(lambda: any("node:read" in each for each in seen.problems))
        assert [each.address for each in seen.answers["web"]] == ["127.0.0.1:9001"]
        consul.put(f"/v1/acl/policy/{policy['ID']}", {"Name": "changing", "Rules": SERVICE + NODE})
        await seen.wait_until(lambda: seen.problems == [], within=20.0)
        assert [each.address for each in seen.answers["web"]] == ["127.0.0.1:9001"]


def test_a_token_file_is_read_again_when_it_changes(tmp_path: Path, consul: ConsulServer) -> None:
    file = tmp_path / "token"
    file.write_text("0e1d4b7e-unknown\n")
    with start_backend("one") as one:
        consul.register("tagged", one.port, tags=["gw.path=/t", "gw.health.interval=0.2"])
        config = f'[consul]\naddress = "{consul.address}"\ntoken_file = "{file}"'
        with start_gateway(tmp_path, config, workers=1) as gateway:
            gateway.wait_until(lambda: "does not know this token" in problems(gateway))
            assert gateway.get("/t").status == 404
            file.write_text(consul.new_token(SERVICE + NODE + KEYS))
            gateway.wait_until(lambda: gateway.get("/t").status == 200)
            gateway.wait_until(lambda: "token" not in problems(gateway))
        assert "0e1d4b7e-unknown" not in "\n".join(gateway.lines)


def problems(gateway: RunningGateway) -> str:
    return "\n".join(each["message"] for each in gateway.status()["problems"])
