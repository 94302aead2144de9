"""The test backend itself: other scenarios rely on these behaviours."""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Iterator

import pytest

from tests.backends import Backend, free_port, start_backend, wait_until


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with start_backend("echo-1") as backend:
        yield backend


def test_echo_tells_what_arrived(backend: Backend) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", backend.port, timeout=10)
    connection.request("POST", "/a%20b?c=d", body=iter([b"one", b"two"]), headers={"X-A": "1"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    assert (answer["name"], answer["method"], answer["target"]) == ("echo-1", "POST", "/a%20b?c=d")
    assert ["X-A", "1"] in answer["headers"]
    assert (answer["body_bytes"], answer["body_sha256"]) == (6, hashlib.sha256(b"onetwo").hexdigest())


def test_sized_and_streamed_bodies(backend: Backend) -> None:
    assert len(backend.request("GET", "/bytes/3000000")) == 3_000_000
    assert len(backend.request("GET", "/stream/7?size=1000&interval=0.001")) == 7000
    with pytest.raises(http.client.IncompleteRead):
        backend.request("GET", "/truncate/100")


def test_counters_and_health_control(backend: Backend) -> None:
    before = backend.stats()
    backend.request("GET", "/delay/0.01")
    backend.set_health(503)
    assert backend.request("GET", "/health") == b"health\n"
    after = backend.stats()
    assert after["requests"] == before["requests"] + 1
    assert after["health_checks"] == before["health_checks"] + 1
    assert after["paths"]["/delay/0.01"] == 1


def test_refusals_to_answer(backend: Backend) -> None:
    with pytest.raises(http.client.RemoteDisconnected):
        backend.request("GET", "/close")
    with pytest.raises(ConnectionResetError):
        backend.request("GET", "/reset")
    with pytest.raises(TimeoutError):
        backend.request("GET", "/hang", timeout=0.1)


def test_killed_stopped_and_back_on_the_same_port() -> None:
    with start_backend("fragile", port=free_port()) as backend:
        port = backend.port
        backend.stop_signal()
        with pytest.raises(TimeoutError):
            backend.request("GET", "/", timeout=0.1)
        backend.cont()
        backend.request("GET", "/")
        backend.kill()
        with pytest.raises(ConnectionRefusedError):
            backend.request("GET", "/")
        backend.restart()
        assert backend.port == port
        backend.request("GET", "/")


def test_wait_until_gives_up_with_a_sentence() -> None:
    with pytest.raises(AssertionError, match=r"the moon did not come true within 0.05 s"):
        wait_until(lambda: False, 0.05, what="the moon")
