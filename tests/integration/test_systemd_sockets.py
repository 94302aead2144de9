"""Socket activation of a real `gw up`, by a launcher that passes descriptors as systemd does."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.backends import free_port, wait_until
from tests.gateways import RunningGateway, start_gateway
from tests.loads import tell
from tests.raw_client import RawClient
from tests.systemd import address_of, launcher, listening

HEALTH = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"


def begin(folder: Path, *sockets: socket.socket, listen: tuple[str, ...] = ()) -> RunningGateway:
    return start_gateway(
        folder,
        listen=listen or tuple(map(address_of, sockets)),
        launcher=launcher(sockets),
        pass_fds=[sock.fileno() for sock in sockets],
    )


@pytest.mark.parametrize("reuse_port", [True, False])
def test_every_worker_serves_the_one_socket_that_was_passed(tmp_path: Path, reuse_port: bool) -> None:
    with listening(reuse_port=reuse_port) as sock, begin(tmp_path, sock) as gateway, ExitStack() as stack:
        assert gateway.listen == address_of(sock)
        for _ in range(60):
            client = stack.enter_context(RawClient(gateway.port))
            client.send(HEALTH)
            assert client.answer().status == 200
        gateway.wait_until(lambda: sum(each["connections"] for each in gateway.status()["workers"]) == 60)
        found = [each["connections"] for each in gateway.status()["workers"]]
        tell("connections of each worker", found)
        assert min(found) >= 12


def test_connections_wait_in_the_passed_socket_while_the_gateway_is_restarted(tmp_path: Path) -> None:
    with listening() as sock:
        with begin(tmp_path, sock) as gateway:
            assert gateway.get("/health").status == 200
            gateway.signal(signal.SIGTERM)
            assert gateway.wait_end() == 0
        with ExitStack() as stack:
            clients = [stack.enter_context(RawClient(sock.getsockname()[1])) for _ in range(20)]
            for client in clients:
                client.send(HEALTH)
            with begin(tmp_path, sock):
                assert [client.answer().status for client in clients] == [200] * 20


def test_addresses_that_were_not_passed_are_bound_beside_those_that_were(tmp_path: Path) -> None:
    with listening() as sock:
        own = f"127.0.0.1:{free_port()}"
        with begin(tmp_path, sock, listen=(own, address_of(sock))) as gateway:
            assert gateway.status()["listen"] == [own, address_of(sock)]
            for address in (own, address_of(sock)):
                with RawClient(int(address.rpartition(":")[2])) as client:
                    client.send(HEALTH)
                    assert client.answer().status == 200


def test_a_socket_for_both_families_stands_for_all_ipv4_addresses(tmp_path: Path) -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as sock:
        port = sock.getsockname()[1]
        with begin(tmp_path, sock, listen=(f"0.0.0.0:{port}",)), RawClient(port) as client:
            client.send(HEALTH)
            assert client.answer().status == 200


def test_a_socket_for_no_configured_address_is_an_error_that_names_both(tmp_path: Path) -> None:
    with listening() as sock:
        other = f"127.0.0.1:{free_port()}"
        gateway = RunningGateway(
            tmp_path, "", ["--listen", other], {}, launcher=launcher([sock]), pass_fds=[sock.fileno()]
        )
        assert gateway.wait_end() == 1
        assert gateway.lines == [
            f"gw: systemd passed a socket for {address_of(sock)} (name 'gw.socket'), but gateway.listen is {other}: "
            "make ListenStream= of the .socket unit and gateway.listen agree"
        ]


@pytest.mark.skipif(shutil.which("systemd-socket-activate") is None, reason="systemd is not installed")
def test_systemds_own_launcher_starts_it_at_the_first_connection(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    command = ["systemd-socket-activate", "-l", address, "-E", "PYTHONPATH", sys.executable, "-P", "-m", "cli.app"]
    (tmp_path / "gateway.toml").write_text("[log]\naccess = 'off'\n")
    done = subprocess.Popen([*command, "up", "--listen", address, "--admin", "127.0.0.1:0"], cwd=tmp_path)
    try:
        wait_until(lambda: answers(int(address.rpartition(":")[2])), 20.0, what="an answer")
    finally:
        done.terminate()
        assert done.wait(20) == 0


def answers(port: int) -> bool:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)):  # the launcher does not listen yet
            return False
    with RawClient(port) as client:
        client.send(HEALTH)
        return client.answer().status == 200
