"""Finding the running gateway, and what is said when that fails."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from cli.admin_client import AdminAddress, AdminClient, NobodyAnswers, Refused, find_admin
from tests.unit.fake_gateway import FakeFacade, served


def test_the_option_wins_then_the_variable_then_the_file_then_the_default(tmp_path: Path) -> None:
    assert find_admin(None, {}, tmp_path) == AdminAddress("127.0.0.1:9901", "the default")
    (tmp_path / "gateway.toml").write_text('[gateway]\nadmin = "127.0.0.1:1003"\n')
    assert find_admin(None, {}, tmp_path) == AdminAddress("127.0.0.1:1003", "./gateway.toml")
    environ = {"GW_ADMIN": "127.0.0.1:1002"}
    assert find_admin(None, environ, tmp_path) == AdminAddress("127.0.0.1:1002", "GW_ADMIN")
    assert find_admin("127.0.0.1:1001", environ, tmp_path) == AdminAddress("127.0.0.1:1001", "--admin")


def test_a_variable_in_the_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text('[gateway]\nadmin = "127.0.0.1:${PORT:-7}"\n')
    assert find_admin(None, {}, tmp_path).address == "127.0.0.1:7"
    assert find_admin(None, {"PORT": "8"}, tmp_path).address == "127.0.0.1:8"


@pytest.mark.parametrize(
    ("text", "why"),
    [("[gateway", "cannot be read"), ("", "names no admin address"), ("gateway = 3", "names no admin address")],
)
def test_a_file_that_does_not_help_is_said_beside_the_default(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "gateway.toml").write_text(text)
    found = find_admin(None, {}, tmp_path)
    assert found.address == "127.0.0.1:9901"
    assert why in found.origin


@pytest.mark.parametrize(
    ("written", "called"),
    [
        ("0.0.0.0:9901", "127.0.0.1:9901"),
        ("[::]:9901", "[::1]:9901"),
        (":9901", "127.0.0.1:9901"),
        ("http://10.0.0.1:9901/", "10.0.0.1:9901"),
    ],
)
def test_an_address_listened_on_becomes_one_to_call(written: str, called: str) -> None:
    assert find_admin(written, {}, Path()).address == called


def test_the_answers_come_through() -> None:
    facade = FakeFacade(needs_restart=("gateway.workers",))
    with served(facade) as address, AdminClient(AdminAddress(address, "--admin")) as client:
        assert client.status()["name"] == "edge"
        assert len(client.routes()["routes"]) == 3
        assert len(client.services()["services"]) == 2
        assert client.reload()["needs_restart"] == ["gateway.workers"]
        client.down()
    assert (facade.reloads, facade.downs) == (1, 1)


def test_a_refusal_carries_its_reason_and_problems() -> None:
    with (
        served(FakeFacade(reload_problems=("a", "b"))) as address,
        AdminClient(AdminAddress(address, "--admin")) as client,
        pytest.raises(Refused, match="nothing was changed") as caught,
    ):
        client.reload()
    assert (caught.value.reason, caught.value.problems) == ("bad_configuration", ("a", "b"))


def test_nobody_there_names_address_origin_and_what_to_do() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # taken, and nobody listens
        where = AdminAddress(f"127.0.0.1:{unused.getsockname()[1]}", "GW_ADMIN")
        with AdminClient(where) as client, pytest.raises(NobodyAnswers) as caught:
            client.status()
    message = str(caught.value)
    assert message.startswith(f"No gateway answers at {where.address} (GW_ADMIN): connection refused.")
    assert "gw up" in message
    assert "--admin HOST:PORT" in message


def test_a_proxy_in_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with served(FakeFacade()) as address, AdminClient(AdminAddress(address, "--admin")) as client:
        assert client.status()["generation"] == 42


@pytest.mark.parametrize("address", ["nonsense:port", "127.0.0.1:99999", "[::1", "exa mple:1"])
def test_what_is_no_address_is_no_gateway(address: str) -> None:
    with pytest.raises(NobodyAnswers), AdminClient(AdminAddress(address, "--admin")) as client:
        client.status()


class Stranger(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>It works!</html>")

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def stranger() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_another_server_at_the_address_is_recognised(stranger: str) -> None:
    with AdminClient(AdminAddress(stranger, "GW_ADMIN")) as client, pytest.raises(Refused, match="not a gateway's"):
        client.status()


def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        where = AdminAddress(f"127.0.0.1:{mute.getsockname()[1]}", "--admin")
        with AdminClient(where) as client, pytest.raises(NobodyAnswers, match=r"no answer within 0\.05 s"):
            client._ask("GET", "/api/status", timeout=0.05)
