"""Who may operate the gateway, and by which names a browser may call it."""

from __future__ import annotations

import httpx
import pytest
import trio

from gateway.admin.facts import Access
from gateway.admin.guard import exposure, refuse_host, refuse_post
from gateway.admin.server import serve
from tests.unit.fake_gateway import FakeFacade

HOST = "127.0.0.1:9901"
PAGE = {"host": HOST, "origin": f"http://{HOST}", "sec-fetch-site": "same-origin", "x-gw-page": "1"}
PROGRAM = {"host": HOST}
CLOSED, OPEN, TOKEN = Access(), Access(write=True), Access(token="s3cret")


def without(headers: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in headers.items() if key != name}


@pytest.mark.parametrize(
    ("access", "headers", "refused"),
    [
        (CLOSED, PROGRAM, None),
        (OPEN, PROGRAM, None),
        (CLOSED, PAGE, "read_only"),
        (OPEN, PAGE, None),
        (OPEN, without(PAGE, "sec-fetch-site"), None),  # browsers leave it out where there is no TLS
        (OPEN, {**PAGE, "host": "[::1]:9901", "origin": "http://[::1]:9901"}, None),
        (OPEN, {**PAGE, "host": "localhost:9901", "origin": "http://localhost:9901"}, None),
        (OPEN, {**PAGE, "origin": "http://evil.example"}, "browser_refused"),
        (OPEN, {**PAGE, "origin": "null"}, "browser_refused"),
        (OPEN, {**PAGE, "sec-fetch-site": "cross-site"}, "browser_refused"),
        (OPEN, {**PAGE, "sec-fetch-site": "same-site"}, "browser_refused"),
        (OPEN, without(PAGE, "x-gw-page"), "browser_refused"),
        (OPEN, without(PAGE, "origin"), "browser_refused"),
        (OPEN, {**PAGE, "host": "rebound.example:9901", "origin": "http://rebound.example:9901"}, "host_refused"),
        (TOKEN, PROGRAM, "token_required"),
        (TOKEN, PAGE, "token_required"),
        (TOKEN, {**PROGRAM, "authorization": "Bearer s3cret"}, None),
        (TOKEN, {**PROGRAM, "authorization": "bearer s3cret"}, None),
        (TOKEN, {**PAGE, "authorization": "Bearer s3cret"}, None),
        (TOKEN, {**PROGRAM, "authorization": "Bearer s3cre"}, "token_wrong"),
        (TOKEN, {**PROGRAM, "authorization": "Bearer s3cret\xff"}, "token_wrong"),
        (TOKEN, {**PROGRAM, "authorization": "Basic s3cret"}, "token_wrong"),
        (TOKEN, {**PAGE, "authorization": "Bearer s3cret", "origin": "http://evil.example"}, "browser_refused"),
        (Access(write=True, token="s3cret"), PAGE, "token_required"),
    ],
)
def test_who_may_operate(access: Access, headers: dict[str, str], refused: str | None) -> None:
    reply = refuse_post(access, headers)
    assert (reply.body["reason"] if reply else None) == refused


@pytest.mark.parametrize("host", ["localhost", "LocalHost:80", "127.0.0.1:9901", "[::1]:9901", "127.0.0.2:9901", None])
def test_a_loopback_address_has_these_names(host: str | None) -> None:
    assert refuse_host("127.0.0.2:9901", host) is None


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9901", "127.0.0.1.evil.example", "10.0.0.1", "", "["])
def test_and_no_others(host: str) -> None:
    reply = refuse_host("127.0.0.1:9901", host)
    assert reply is not None
    assert reply.status == 403
    assert refuse_host("10.0.0.5:9901", host) is None  # who reaches that one needs no browser's help


def test_an_address_that_others_reach_needs_a_token() -> None:
    assert [exposure(address, CLOSED) for address in ("127.0.0.1:9901", "[::1]:9901")] == ["", ""]
    assert exposure("0.0.0.0:9901", TOKEN) == ""
    for address in ("0.0.0.0:9901", "[::]:9901", "10.0.0.5:9901"):
        assert "Set admin_token" in exposure(address, OPEN)


def test_a_token_is_not_in_a_repr() -> None:
    assert "s3cret" not in repr(TOKEN)


async def test_every_answer_has_the_headers_and_goes_through_the_guard() -> None:
    facade = FakeFacade(access=TOKEN)
    async with trio.open_nursery() as nursery:
        address = await nursery.start(serve, facade, "127.0.0.1:0")
        async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as client:
            for path in ("/", "/api/status", "/nope", "/assets/page.css"):
                response = await client.get(path)
                assert "default-src 'none'" in response.headers["content-security-policy"]
                assert response.headers["x-content-type-options"] == "nosniff"
                assert "access-control-allow-origin" not in response.headers
            rebound = await client.get("/api/status", headers={"Host": "evil.example"})
            assert (rebound.status_code, rebound.json()["reason"]) == (403, "host_refused")
            assert "content-security-policy" in rebound.headers
            refused = await client.post("/api/down")
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
            assert facade.downs == 0
            assert (await client.post("/api/down", headers={"Authorization": "Bearer s3cret"})).status_code == 202
        nursery.cancel_scope.cancel()
