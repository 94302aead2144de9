"""`gateway.supervisor.activation`: which variables mean which descriptors, and what is refused."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

import pytest

from gateway.supervisor.activation import match, take, take_passed
from gateway.supervisor.listeners import ListenError
from tests.systemd import address_of, listening

PID = 4242


def test_what_is_for_another_process_is_left_alone_and_said_to_nobody_else() -> None:
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b", "HOME": "/"}
    assert take_passed(environ, PID) == ()
    assert environ == {"HOME": "/"}


def test_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(ListenError, match="LISTEN_FDS is 'two': it must be the number of the sockets passed"):
        take_passed({"LISTEN_PID": str(PID), "LISTEN_FDS": "two"}, PID)


def test_a_socket_is_recognised_by_its_address_and_not_inherited_further() -> None:
    with listening() as sock:
        passed = take(os.dup(sock.fileno()), "http")
        with passed.sock:
            assert passed.address == address_of(sock)
            assert not passed.sock.get_inheritable()
            assert match([passed], ["127.0.0.1:0", address_of(sock)]).by_address == {address_of(sock): (passed.sock,)}


def test_an_ipv6_socket_that_takes_no_ipv4_does_not_stand_for_it() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6) as sock:  # V6ONLY
        passed = take(os.dup(sock.fileno()), "http")
        with passed.sock, pytest.raises(ListenError, match=r"systemd passed a socket for \[::\]:\d+ \(name 'http'\)"):
            match([passed], [f"0.0.0.0:{sock.getsockname()[1]}"])


def test_what_is_no_listening_tcp_socket_is_refused_with_what_to_do() -> None:
    with tempfile.TemporaryFile() as file, pytest.raises(ListenError, match="it is no socket"):
        take(file.fileno(), "file")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, pytest.raises(ListenError, match="no TCP socket"):
        take(os.dup(udp.fileno()), "udp")
    with socket.socket() as idle, pytest.raises(ListenError, match="not listening: write Accept=no"):
        take(os.dup(idle.fileno()), "idle")
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(Path(folder) / "socket"))
        unix.listen()
        with pytest.raises(ListenError, match="write ListenStream=HOST:PORT"):
            take(os.dup(unix.fileno()), "unix")
