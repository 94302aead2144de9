"""Consul over https, with client certificates asked for: what works, and what is said when it does not."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from discovery.consul_sd.client import ConsulClient
from discovery.consul_sd.errors import Unreachable
from discovery.settings import ConsulSettings
from tests.backends import start_backend
from tests.consul import ConsulServer, consul_binary, free_ports
from tests.gateways import start_gateway


@dataclass(frozen=True)
class Secured:
    """A Consul that speaks https at `address`, and the folder of its certificates."""

    consul: ConsulServer
    address: str
    folder: Path

    def settings(
        self, address: str = "", ca: str = "consul-agent-ca.pem", *, has_client: bool = True
    ) -> ConsulSettings:
        client = self.folder / "dc1-client-consul-0"
        return ConsulSettings(
            address=address or self.address,
            ca_file=str(self.folder / ca) if ca else "",
            cert_file=f"{client}.pem" if has_client else "",
            key_file=f"{client}-key.pem" if has_client else "",
        )


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("tls")
    for command in ("ca create", "cert create -server", "cert create -client", "ca create -domain other"):
        subprocess.run([consul_binary(), "tls", *command.split()], cwd=folder, check=True, capture_output=True)
    (port,) = free_ports(1)
    config = f"""
    ports {{ https = {port} }}
    addresses {{ https = "127.0.0.1 127.0.0.2" }}
    verify_incoming = true
    ca_file = "{folder}/consul-agent-ca.pem"
    cert_file = "{folder}/dc1-server-consul-0.pem"
    key_file = "{folder}/dc1-server-consul-0-key.pem"
    """
    with ConsulServer(config) as consul:
        yield Secured(consul, f"https://127.0.0.1:{port}", folder)


async def failure(settings: ConsulSettings) -> str:
    async with ConsulClient(settings) as client:
        with pytest.raises(Unreachable) as failed:
            await client.health("web")
    assert not failed.value.crowded
    return str(failed.value)


async def test_a_client_certificate_opens_it(secured: Secured) -> None:
    async with ConsulClient(secured.settings()) as client:
        assert (await client.health("web")).data == []


async def test_a_wrong_ca_is_named(secured: Secured) -> None:
    said = await failure(secured.settings(ca="other-agent-ca.pem"))
    assert f"its certificate is not trusted by consul.ca_file {secured.folder}/other-agent-ca.pem" in said
    assert said.endswith("name the CA that issued it in consul.ca_file")


async def test_the_systems_ca_certificates_do_not_know_it(secured: Secured) -> None:
    assert "is not trusted by the system's CA certificates" in await failure(secured.settings(ca=""))


async def test_a_missing_client_certificate_is_asked_for(secured: Secured) -> None:
    said = await failure(secured.settings(has_client=False))
    assert "it asks for a client certificate" in said
    assert "consul.cert_file and consul.key_file" in said


async def test_an_address_that_the_certificate_does_not_name(secured: Secured) -> None:
    said = await failure(secured.settings(secured.address.replace("127.0.0.1", "127.0.0.2")))
    assert "its certificate is for another name" in said


async def test_https_to_the_http_port(secured: Secured) -> None:
    said = await failure(secured.settings(secured.consul.address.replace("http:", "https:")))
    assert "it does not speak TLS on this port" in said


def test_a_gateway_discovers_over_tls(secured: Secured, tmp_path: Path) -> None:
    settings = secured.settings()
    config = f"""
[consul]
address = "{settings.address}"
ca_file = "{settings.ca_file}"
cert_file = "{settings.cert_file}"
key_file = "{settings.key_file}"
"""
    with start_backend("one") as one:
        secured.consul.register("web", one.port, tags=["gw.path=/web", "gw.health.interval=0.2"])
        with start_gateway(tmp_path, config, workers=1) as gateway:
            gateway.wait_until(lambda: gateway.get("/web").status == 200)
