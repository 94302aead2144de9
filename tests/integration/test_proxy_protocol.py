"""PROXY protocol on a real gateway: the address it tells in requests and the access log; nothing without it."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends import Backend, start_backend
from tests.gateway_config import one_service
from tests.gateways import RunningGateway, start_gateway
from tests.raw_client import RawClient

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
V1 = b"PROXY TCP4 198.51.100.7 192.0.2.1 40000 80\r\n"
V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x27" + bytes.fromhex("20010db8") + bytes(11) + b"\7" + bytes(20) + b"\x04\0\0"
SPOKEN = "[gateway]\nproxy_protocol = true"


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with start_backend("one") as started:
        yield started


def config(backend: Backend, more: str) -> str:
    return one_service(backend.url, more=more).replace('access = "off"', 'access = "stdout"')


def ask(gateway: RunningGateway, *pieces: bytes) -> str:
    """X-Forwarded-For of a request sent in these pieces."""
    with RawClient(gateway.port) as client:
        client.send(*pieces)
        return str(dict(client.answer().json()["headers"])["X-Forwarded-For"])


def test_the_address_it_tells_is_the_client_s(tmp_path: Path, backend: Backend) -> None:
    with start_gateway(tmp_path, config(backend, SPOKEN)) as gateway:
        gateway.wait_until(lambda: gateway.status()["services"][0]["instances"][0]["eligible"])
        assert ask(gateway, V1 + GET) == "198.51.100.7"
        assert ask(gateway, *(V1[at : at + 1] for at in range(len(V1))), GET) == "198.51.100.7"
        assert ask(gateway, V2 + GET) == "2001:db8::7"
        assert ask(gateway, V2[:20], V2[20:], GET) == "2001:db8::7"
        assert ask(gateway, b"PROXY UNKNOWN\r\n" + GET) == "127.0.0.1"
        for data in (GET, b"PROXY TCP4 nonsense\r\n" + GET, V2[:12] + b"\x31" + V2[13:] + GET):
            with RawClient(gateway.port) as client:
                client.send(data)
                assert client.end() in ("closed", "reset")
        gateway.wait_until(lambda: len(gateway.access) >= 8)
        lines = [json.loads(line) for line in gateway.access]
        assert [line["client"] for line in lines if line["status"] == 200][:3] == ["198.51.100.7"] * 2 + ["2001:db8::7"]
        assert [(line["status"], line["reason"]) for line in lines if line["status"] != 200] == [
            (400, "bad_proxy_header")
        ] * 3


def test_it_is_switched_on_by_a_reload_for_new_connections(tmp_path: Path, backend: Backend) -> None:
    with start_gateway(tmp_path, config(backend, "")) as gateway, RawClient(gateway.port) as kept:
        gateway.wait_until(lambda: gateway.status()["services"][0]["instances"][0]["eligible"])
        kept.send(GET)
        assert kept.answer().status == 200
        gateway.config_path.write_text(config(backend, SPOKEN))
        before = gateway.status()["generation"]
        gateway.signal(signal.SIGHUP)
        gateway.wait_until(lambda: all(each["generation"] > before for each in gateway.status()["workers"]))
        assert ask(gateway, V1 + GET) == "198.51.100.7"
        kept.send(GET)
        assert kept.answer().status == 200
