"""The admin interface over real HTTP on loopback."""

from __future__ import annotations

import socket
from functools import partial

import httpx
import pytest
import structlog
import trio
from structlog.testing import capture_logs

from gateway.admin.server import AdminBindError, serve
from tests.unit.fake_gateway import FakeFacade

PROBLEM = "application/problem+json"


@pytest.mark.parametrize("path", ["/health", "/ready", "/api/status", "/api/routes", "/api/services"])
async def test_what_may_be_read_is_json(http: httpx.AsyncClient, path: str) -> None:
    response = await http.get(path)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert isinstance(response.json(), dict)
    assert "server" not in response.headers


async def test_metrics_are_prometheus_text(http: httpx.AsyncClient) -> None:
    response = await http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'gw_build_info{version="0.1.0"} 1.0' in response.text.splitlines()
    response = await http.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")


@pytest.mark.parametrize("path", ["/nope", "/assets/nope", "/health/", "/api", "/api/status/x"])
async def test_an_unknown_path_is_a_problem(http: httpx.AsyncClient, path: str) -> None:
    response = await http.get(path)
    assert (response.status_code, response.headers["content-type"]) == (404, PROBLEM)
    assert response.json()["reason"] == "no_such_path"
    assert path in response.json()["detail"]


async def test_a_wrong_method_is_a_problem_that_says_which_are_right(http: httpx.AsyncClient) -> None:
    response = await http.post("/health")
    assert (response.status_code, response.headers["content-type"]) == (405, PROBLEM)
    assert set(response.headers["allow"].split(", ")) == {"GET", "HEAD"}
    response = await http.get("/api/reload")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert response.json()["status"] == 405


async def test_reload_and_down_reach_the_gateway(http: httpx.AsyncClient, facade: FakeFacade) -> None:
    assert (await http.post("/api/reload")).status_code == 200
    facade.reload_problems = ("a", "b")
    refused = await http.post("/api/reload", json={})
    assert (refused.status_code, refused.headers["content-type"]) == (422, PROBLEM)
    assert refused.json()["problems"] == ["a", "b"]
    assert (await http.post("/api/down")).status_code == 202
    assert (facade.reloads, facade.downs) == (2, 1)
    assert (await http.get("/ready")).status_code == 503


async def test_a_web_page_may_not_operate_the_gateway(http: httpx.AsyncClient, facade: FakeFacade) -> None:
    response = await http.post("/api/down", headers={"Origin": "http://evil.example"})
    assert (response.status_code, response.json()["reason"]) == (403, "browser_refused")
    assert facade.downs == 0


async def test_a_fault_of_our_own_is_a_problem_and_is_logged_and_the_server_goes_on(
    http: httpx.AsyncClient, facade: FakeFacade
) -> None:
    facade.broken = True
    with capture_logs() as lines:
        response = await http.get("/api/status")
        with trio.fail_after(5.0):
            while not lines:  # logged once the answer is out
                await trio.sleep(0.001)
    assert (response.status_code, response.headers["content-type"]) == (500, PROBLEM)
    assert "made to fail" not in response.text
    assert [line["log_level"] for line in lines] == ["error"]
    facade.broken = False
    assert (await http.get("/api/status")).status_code == 200


async def test_ordinary_requests_are_not_logged(http: httpx.AsyncClient, capfd: pytest.CaptureFixture[str]) -> None:
    structlog.reset_defaults()
    await http.get("/health")
    await http.get("/nope")
    assert capfd.readouterr() == ("", "")


async def test_an_address_in_use_is_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(AdminBindError, match=f"{bind} cannot be listened on: Address already in use"):
            await serve(FakeFacade(), bind)


@pytest.mark.parametrize("bind", ["", "9901", ":9901", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:65536"])
async def test_what_is_no_address_is_refused(bind: str) -> None:
    with pytest.raises(AdminBindError, match="is not HOST:PORT"):
        await serve(FakeFacade(), bind)


async def test_ipv6_addresses_are_bracketed() -> None:
    async with trio.open_nursery() as nursery:
        address = await nursery.start(serve, FakeFacade(), "[::1]:0")
        assert address.startswith("[::1]:")
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"http://{address}/health")).status_code == 200
        nursery.cancel_scope.cancel()


async def test_shutdown_ends_it_and_frees_the_port() -> None:
    end = trio.Event()
    with trio.fail_after(5.0):
        async with trio.open_nursery() as nursery:
            address = await nursery.start(partial(serve, FakeFacade(), "127.0.0.1:0", shutdown=end))
            async with httpx.AsyncClient(trust_env=False) as client:  # its idle connection must not hold it up
                assert (await client.get(f"http://{address}/health")).status_code == 200
                end.set()
        host, port = address.split(":")
        socket.create_server((host, int(port))).close()
