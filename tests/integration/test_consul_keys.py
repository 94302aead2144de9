"""Routes and services kept in Consul's KV, in a gateway that starts with nothing but Consul's address."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.backends import start_backend
from tests.consul import ConsulServer
from tests.gateways import RunningGateway, start_gateway
from tests.integration.test_consul_discovery import watched

HEALTH = "[health]\ninterval = 0.2"


@pytest.fixture
def consul() -> Iterator[ConsulServer]:
    with ConsulServer() as server:
        yield server


def routes(gateway: RunningGateway) -> dict[str, str]:
    return {each["path"]: each["origin"] for each in tables(gateway)["routes"]}


def problems(gateway: RunningGateway) -> dict[str, str]:
    return {each["origin"]: each["message"] for each in tables(gateway)["problems"]}


def tables(gateway: RunningGateway) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gateway.admin_get("/api/routes").body)
    return found


def test_keys_come_change_break_and_go(tmp_path: Path, consul: ConsulServer) -> None:
    with (
        start_backend("fixed") as fixed,
        start_backend("found") as found,
        start_gateway(tmp_path, workers=1, arguments=["--consul", consul.address]) as gateway,
    ):
        consul.put_key("gw/services/fixed", f'instances = ["http://127.0.0.1:{fixed.port}"]\n{HEALTH}')
        consul.put_key("gw/routes/a", '{"path": "/a", "service": "fixed"}')
        gateway.wait_until(lambda: gateway.get("/a").status == 200)
        assert gateway.get("/a").headers["x-backend"] == "fixed"
        assert routes(gateway) == {"/a": "kv: gw/routes/a"}

        consul.register("web", found.port)
        consul.put_key("gw/services/found", f'consul = "web"\n{HEALTH}')
        consul.put_key("gw/routes/a", '{"path": "/a", "service": "found"}')
        gateway.wait_until(lambda: gateway.get("/a").headers.get("x-backend") == "found")

        consul.put_key("gw/routes/a", '{"path": "/a", "service": "found", "retry_count": -1}')
        gateway.wait_until(lambda: problems(gateway))
        sentence = "retry_count: must be at least 0; it is -1; what it said before stays in force"
        assert problems(gateway) == {"kv: gw/routes/a": sentence}
        assert gateway.get("/a").status == 200
        (said,) = gateway.events("problem")
        assert (said["origin"], said["message"]) == ("kv: gw/routes/a", sentence)

        consul.delete_key("gw/routes/a")
        gateway.wait_until(lambda: gateway.get("/a").status == 404)
        assert problems(gateway) == {}
        assert gateway.events("problem is gone")


def test_the_file_wins_and_the_conflict_names_both(tmp_path: Path, consul: ConsulServer) -> None:
    with start_backend("file") as file, start_backend("kv") as kv:
        config = f"""
[consul]
address = "{consul.address}"
kv_prefix = "other/"
[[routes]]
path = "/a"
target_url = "http://127.0.0.1:{file.port}"
"""
        consul.put_key("other/routes/a", f'path = "/a"\ntarget_url = "http://127.0.0.1:{kv.port}"')
        consul.put_key("other/routes/b", f'path = "/b"\ntarget_url = "http://127.0.0.1:{kv.port}"')
        with start_gateway(tmp_path, config, workers=1) as gateway:
            gateway.wait_until(lambda: gateway.get("/b").status == 200)
            assert gateway.get("/a").headers["x-backend"] == "file"
            assert problems(gateway) == {
                "kv: other/routes/a": f"route /a of service 127.0.0.1:{kv.port} is already taken by "
                f"file: {gateway.config_path.name} routes[0]"
            }


async def test_keys_lost_with_an_agent_that_restarted_empty_are_kept_for_the_grace(consul: ConsulServer) -> None:
    consul.put_key("gw/routes/a", "x")
    async with watched(consul, watch_keys=True, grace=1.5) as seen:
        await seen.wait_until(lambda: seen.keys == [("gw/routes/a", b"x")])
        consul.kill()
        await seen.wait_until(lambda: seen.state is not None and seen.state.stale)
        consul.start()
        await seen.wait_until(lambda: seen.state is not None and not seen.state.stale)
        assert seen.keys == [("gw/routes/a", b"x")]
        await seen.wait_until(lambda: seen.keys == [])
        consul.put_key("gw/routes/b", "y")
        await seen.wait_until(lambda: seen.keys == [("gw/routes/b", b"y")])
        consul.delete_key("gw/routes/b")
        await seen.wait_until(lambda: seen.keys == [])
