"""A gateway without Consul follows DNS: addresses, SRV records, failures; and Consul's own DNS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.backends import start_backend
from tests.consul import ConsulServer
from tests.dns_server import DnsServer
from tests.gateways import RunningGateway, start_gateway
from tests.loads import start_load, tell

CONFIG = """
[log]
access = "off"
[dns]
server = "{server}"
min_ttl = 0.2
[[services]]
name = "web"
dns = "{name}"
[services.health]
interval = 0.2
[[routes]]
path = "/web/*"
service = "web"
"""


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    with DnsServer() as server:
        yield server


def instances(gateway: RunningGateway) -> dict[str, dict[str, Any]]:
    return {each["address"]: each for service in gateway.status()["services"] for each in service["instances"]}


def eligible(gateway: RunningGateway) -> set[str]:
    return {address for address, each in instances(gateway).items() if each["eligible"]}


def dns_state(gateway: RunningGateway) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in gateway.status()["discovery"] if each["source"] == "dns")
    return found


def test_addresses_and_target_urls_follow_dns(tmp_path: Path, dns: DnsServer) -> None:
    with start_backend("one") as one:
        target = f'[[routes]]\npath = "/direct"\ntarget_url = "http://web.test:{one.port}"\n'
        local = f'[[routes]]\npath = "/local"\ntarget_url = "http://localhost:{one.port}"\n'
        config = CONFIG.format(server=dns.address, name=f"web.test:{one.port}") + target + local
        dns.set("web.test", "A", "127.0.0.1")
        with start_gateway(tmp_path, config, workers=1) as gateway:
            gateway.wait_until(lambda: gateway.get("/ready").status == 200)
            gateway.wait_until(lambda: gateway.get("/web/1").status == 200)
            assert gateway.get("/direct").status == 200
            assert gateway.get("/local").status == 200  # of the hosts file
            names = {each["name"] for service in gateway.status()["services"] for each in service["instances"]}
            assert names == {"web.test", "localhost"}

            dns.set("web.test", "A", "127.0.0.1", "127.0.0.77")
            gateway.wait_until(lambda: f"127.0.0.77:{one.port}" in instances(gateway))
            assert gateway.get("/web/1").status == 200

            dns.mode = "servfail"
            gateway.wait_until(lambda: dns_state(gateway)["stale"])
            state = dns_state(gateway)
            assert "SERVFAIL" in state["error"]
            assert state["last_success"] <= state["stale_since"]
            assert gateway.get("/web/1").status == 200
            dns.mode = ""
            gateway.wait_until(lambda: not dns_state(gateway)["stale"])

            dns.remove("web.test")
            gateway.wait_until(lambda: gateway.get("/web/1").status == 503)
            assert gateway.get("/direct").status == 503
            assert gateway.get("/local").status == 200


def test_srv_records_move_traffic_without_a_lost_request(tmp_path: Path, dns: DnsServer) -> None:
    with start_backend("one", latency=0.005) as one, start_backend("two", latency=0.005) as two, ExitStack() as stack:
        dns.set("node.test", "A", "127.0.0.1")
        dns.set("_web._tcp.test", "SRV", f"0 3 {one.port} node.test.")
        config = CONFIG.format(server=dns.address, name="_web._tcp.test")
        gateway = stack.enter_context(start_gateway(tmp_path, config, workers=1))
        gateway.wait_until(lambda: eligible(gateway) == {one.address})
        assert instances(gateway)[one.address]["weight"] == 3
        load = stack.enter_context(start_load(gateway.listen, "/web/1", connections=8))
        load.wait_for(50)
        dns.set("_web._tcp.test", "SRV", f"0 3 {one.port} node.test.", f"0 3 {two.port} node.test.")
        gateway.wait_until(lambda: eligible(gateway) == {one.address, two.address})
        load.wait_for(50)
        dns.set("_web._tcp.test", "SRV", f"0 1 {two.port} node.test.", f"9 1 {one.port} node.test.")
        gateway.wait_until(lambda: set(instances(gateway)) == {two.address})
        load.wait_for(50)
        report = load.stop()
        tell("SRV records that change", report.summary())
        assert report.failures == ()
        assert set(report.instances) == {"one", "two"}


def test_consuls_own_dns_serves_instances_with_ports_and_weights(tmp_path: Path) -> None:
    with ConsulServer() as consul, start_backend("one") as one, start_backend("two") as two:
        consul.register("web", one.port, weight=7)
        consul.register_ttl("web", two.port)
        config = CONFIG.format(server=consul.dns_address, name="_web._tcp.service.consul")
        with start_gateway(tmp_path, config, workers=1) as gateway:
            gateway.wait_until(lambda: eligible(gateway) == {one.address, two.address})
            assert instances(gateway)[one.address]["weight"] == 7
            assert gateway.get("/web/1").status == 200
            consul.set_check(f"web-{two.port}", "critical")  # Consul's DNS leaves it out
            gateway.wait_until(lambda: set(instances(gateway)) == {one.address})
            consul.kill()
            gateway.wait_until(lambda: dns_state(gateway)["stale"], 20.0)
            assert gateway.get("/web/1").status == 200


def test_it_is_not_ready_before_its_names_were_asked_for(tmp_path: Path, dns: DnsServer) -> None:
    dns.mode = "silent"
    config = CONFIG.format(server=dns.address, name="web.test")
    with start_gateway(tmp_path, config, workers=1) as gateway:
        answer = gateway.admin_get("/ready")
        assert (answer.status, b"dns has not answered yet" in answer.body) == (503, True)
        dns.mode = "servfail"  # costs the service, not the gateway
        gateway.wait_until(lambda: gateway.get("/ready").status == 200)
        assert gateway.get("/web/1").status == 503
