"""The cap on connections: past it 503; those that the gateway has ended count while their client holds them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.backends import start_backend
from tests.gateway_config import one_service
from tests.gateways import RunningGateway, start_gateway
from tests.raw_client import RawClient

CAP = 8
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with start_backend("one") as backend:
        config = one_service(backend.url, more=f"[limits]\nconnections = {CAP}")
        with start_gateway(tmp_path_factory.mktemp("cap"), config, workers=1) as started:
            started.wait_until(lambda: started.get("/").status == 200)
            yield started


def worker(gateway: RunningGateway) -> dict[str, Any]:
    found: dict[str, Any] = gateway.status()["workers"][0]
    return found


def test_one_more_than_the_cap_gets_503_and_the_others_go_on(gateway: RunningGateway) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(RawClient(gateway.port)) for _ in range(CAP)]
        gateway.wait_until(lambda: worker(gateway)["connections"] == CAP)
        for _ in range(20):
            with RawClient(gateway.port) as client:
                client.send(GET)
                answer = client.answer()
                assert answer.reason == (503, "connection_limit")
                assert answer.fields["retry-after"] == "1"
                assert client.end() in ("closed", "reset")
        for client in held:
            client.send(GET)
            assert client.answer().status == 200
        held[0].sock.close()
        gateway.wait_until(lambda: worker(gateway)["connections"] == CAP - 1)
        assert gateway.get("/").status == 200


def test_a_connection_that_is_over_counts_until_its_client_has_left(gateway: RunningGateway) -> None:
    with ExitStack() as stack:
        for _ in range(CAP):
            client = stack.enter_context(RawClient(gateway.port))
            client.send(b"nonsense\r\n\r\n")
            assert client.answer().status == 400
            assert client.end() == "closed"  # by the gateway: that it is read up to the client's own end, nobody sees
        assert worker(gateway)["connections"] == 0
        with RawClient(gateway.port) as late:
            late.send(GET)
            assert late.answer().reason == (503, "connection_limit")
    gateway.wait_until(lambda: gateway.get("/").status == 200)
