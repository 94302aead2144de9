"""Operating the gateway from its web page: only where it is allowed, and never from another page."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends import Backend, start_backend
from tests.browser import Browser, open_browser
from tests.gateway_config import one_service
from tests.gateways import RunningGateway, start_gateway


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with start_backend("one") as started:
        yield started


def gateway_with(folder: Path, backend: Backend, keys: str) -> RunningGateway:
    return start_gateway(folder, f"[gateway]\n{keys}\n" + one_service(backend.url), workers=1)


def post(gateway: RunningGateway, headers: dict[str, str]) -> int:
    """The status of a reload asked for with these header fields."""
    host, _, port = gateway.admin.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=15)
    connection.request("POST", "/api/reload", b"{}", headers)
    status = connection.getresponse().status
    connection.close()
    return status


def test_with_leave_a_button_drains_and_undrains(tmp_path: Path, browser: Browser, backend: Backend) -> None:
    with gateway_with(tmp_path, backend, "admin_write = true") as gateway:
        gateway.wait_until(lambda: gateway.eligible())
        browser.open(f"http://{gateway.admin}/")
        browser.click('[data-operation="drain"]')
        browser.wait(lambda: "draining" in browser.text("article tbody"))
        assert gateway.instance(backend.address)["reason"] == "draining"
        assert gateway.status()["services"][0]["drains"][0]["by"] == "the web page"
        browser.click('[data-operation="undrain"]')
        browser.wait(lambda: "healthy" in browser.text("article tbody"))
        assert gateway.eligible() == {backend.address}
        browser.click('[data-operation="reload"]')
        browser.wait(lambda: "Configuration applied" in browser.text("#toast"))
        own = {"Origin": f"http://{gateway.admin}", "X-Gw-Page": "1", "Sec-Fetch-Site": "same-origin"}
        assert post(gateway, own) == 200
        assert post(gateway, {**own, "Origin": "http://evil.example"}) == 403
        assert post(gateway, {**own, "Sec-Fetch-Site": "cross-site"}) == 403
        assert gateway.cli("reload").returncode == 0


def test_with_a_token_the_page_asks_for_it_and_gw_sends_it(tmp_path: Path, browser: Browser, backend: Backend) -> None:
    secret = "correct-horse"
    with gateway_with(tmp_path, backend, f'admin_token = "{secret}"') as gateway:
        gateway.wait_until(lambda: gateway.eligible())
        browser.open(f"http://{gateway.admin}/")
        browser.click('[data-operation="drain"]')
        browser.type("#token", "wrong")
        browser.click("#ask .strong")
        browser.wait(lambda: "not this gateway's" in browser.text("#toast"))
        assert gateway.eligible() == {backend.address}
        browser.click('[data-operation="drain"]')
        browser.type("#token", secret)
        browser.click("#ask .strong")
        browser.wait(lambda: "draining" in browser.text("article tbody"))
        assert post(gateway, {}) == 401
        assert post(gateway, {"Authorization": f"Bearer {secret}"}) == 200
        assert gateway.cli("undrain", "users", backend.address).returncode == 0  # from ./gateway.toml
        assert secret not in gateway.admin_get("/api/config").body.decode()
        assert not [line for line in gateway.lines if secret in line]
