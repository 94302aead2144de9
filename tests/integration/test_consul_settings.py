"""[consul] changed on reload: the sources go on with the new settings, and requests meanwhile succeed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends import start_backend
from tests.consul import ConsulServer
from tests.gateways import RunningGateway, start_gateway

TAGS = ["gw.path=/web", "gw.health.interval=0.2", "gw.health.healthy_threshold=1"]


@pytest.fixture(scope="module")
def one() -> Iterator[ConsulServer]:
    with ConsulServer() as server:
        yield server


@pytest.fixture(scope="module")
def two() -> Iterator[ConsulServer]:
    with ConsulServer() as server:
        yield server


def config(consul: ConsulServer, more: str = "") -> str:
    return f'[consul]\naddress = "{consul.address}"\nremoval_grace = 1.0\n{more}\n'


def reload(gateway: RunningGateway, text: str) -> None:
    gateway.config_path.write_text(text)
    before = len(gateway.events("configuration reloaded"))
    gateway.signal(signal.SIGHUP)
    gateway.wait_until(lambda: len(gateway.events("configuration reloaded")) > before)


def addresses(gateway: RunningGateway) -> list[str]:
    return [each["address"] for service in gateway.status()["services"] for each in service["instances"]]


def test_another_address_is_asked_and_what_is_known_stays_meanwhile(
    tmp_path: Path, one: ConsulServer, two: ConsulServer
) -> None:
    with start_backend("a") as a, start_backend("b") as b:
        one.register("web", a.port, tags=TAGS)
        with start_gateway(tmp_path, config(one), workers=1) as gateway:
            gateway.wait_until(lambda: gateway.get("/web").status == 200)
            reload(gateway, '[consul]\naddress = "http://127.0.0.1:9"\n')  # nobody answers there
            gateway.wait_until(lambda: any(each["stale"] for each in gateway.status()["discovery"]))
            assert gateway.get("/web").status == 200

            two.register("web", b.port, tags=TAGS)
            reload(gateway, config(two))
            gateway.wait_until(lambda: addresses(gateway) == [f"127.0.0.1:{b.port}"])
            assert gateway.get("/web").headers["x-backend"] == "b"
            assert not any(each["stale"] for each in gateway.status()["discovery"])
            one.register("web", 1, tags=TAGS)
            one.deregister("web-1")


def test_prefixes_change_and_consul_goes_and_comes(tmp_path: Path, one: ConsulServer) -> None:
    with start_backend("a") as a:
        one.register("other", a.port, tags=["my.path=/mine", "my.health.interval=0.2"])
        one.put_key("kv/routes/k", f'path = "/k"\ntarget_url = "http://127.0.0.1:{a.port}"')
        with start_gateway(tmp_path, config(one), workers=1) as gateway:
            gateway.wait_until(lambda: gateway.get("/ready").status == 200)
            assert (gateway.get("/mine").status, gateway.get("/k").status) == (404, 404)

            reload(gateway, config(one, 'tag_prefixes = ["my."]\nkv_prefix = "kv"'))
            gateway.wait_until(lambda: gateway.get("/mine").status == 200 and gateway.get("/k").status == 200)

            reload(gateway, "")
            gateway.wait_until(lambda: gateway.get("/mine").status == 404 and gateway.get("/k").status == 404)
            assert [each["source"] for each in gateway.status()["discovery"]] == ["static"]
            assert gateway.get("/ready").status == 200

            reload(gateway, config(one, 'tag_prefixes = ["my."]'))
            gateway.wait_until(lambda: gateway.get("/mine").status == 200)


def test_a_tls_file_that_cannot_be_used_changes_nothing(tmp_path: Path, one: ConsulServer) -> None:
    with start_gateway(tmp_path, config(one), workers=1) as gateway:
        gateway.config_path.write_text('[consul]\naddress = "https://127.0.0.1:1"\nca_file = "nowhere.pem"')
        gateway.signal(signal.SIGHUP)
        gateway.wait_until(lambda: gateway.events("configuration not reloaded, nothing was changed"))
        (said,) = gateway.events("configuration not reloaded, nothing was changed")
        assert "consul.ca_file nowhere.pem" in said["problems"][0]
        gateway.wait_until(lambda: gateway.get("/ready").status == 200)
