"""`gw up --replace` that comes to nothing: the running gateway goes on, and the new one says why."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends import start_backend
from tests.gateway_config import one_service
from tests.gateways import RunningGateway, begin_to_replace, start_gateway


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    with start_backend("one") as backend, start_gateway(tmp_path, one_service(backend.url), workers=1) as started:
        started.wait_until(lambda: started.get("/").status == 200)
        yield started


def still_serves(gateway: RunningGateway) -> bool:
    return gateway.get("/").status == 200 and bool(gateway.status()["ready"])


def test_a_configuration_with_errors_is_never_begun_with(gateway: RunningGateway) -> None:
    with begin_to_replace(gateway, "[gateway]\nworker = 1\n") as new:
        assert new.wait_end() == 2
        assert any("worker" in line for line in new.lines)
    assert still_serves(gateway)
    assert gateway.events("a new gateway starts beside this one, which serves until the new one does") == []


def test_an_address_that_cannot_be_had_ends_the_new_one_alone(gateway: RunningGateway) -> None:
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        taken = f"127.0.0.1:{foreign.getsockname()[1]}"
        with begin_to_replace(gateway, "", arguments=["--listen", taken]) as new:
            assert new.wait_end() == 1
            assert f"gw: cannot listen on {taken}: another process listens there" in new.lines[-1]
    gateway.wait_until(lambda: gateway.events("the new gateway ended before it was ready, this one goes on"))
    assert still_serves(gateway)


def test_a_gateway_without_the_flag_does_not_touch_a_running_one(gateway: RunningGateway) -> None:
    with begin_to_replace(gateway, "", flag=()) as new:
        assert new.wait_end() == 1
        assert f"cannot listen on {gateway.listen}: another process listens there" in new.lines[-1]
    assert still_serves(gateway)


def test_with_nobody_to_replace_it_starts_as_usual(tmp_path: Path) -> None:
    with start_gateway(tmp_path, workers=1, arguments=["--replace"]) as gateway:
        assert gateway.get("/health").status == 200
        assert gateway.events("nothing to replace: no gateway of this user listens here")
