"""Lines to a descriptor that is not waited for: sockets, pipes of one's own and of another user."""

from __future__ import annotations

import os
import select
import socket
from contextlib import closing

from gateway import outlet
from gateway.outlet import Outlet

LINE = b"x" * 999 + b"\n"


def test_a_socket_is_not_waited_for_and_half_a_line_is_ended() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, closing(outlet.to_standard(ours.fileno())) as out:
        while not out.put([LINE] * 4):
            pass
        theirs.setblocking(False)
        data = b""
        while not data.endswith(b"after!"):
            try:
                data += theirs.recv(1 << 20)
            except BlockingIOError:
                out.put([b"after!"])
        assert data.rpartition(b"\n")[2] == b"after!"
        assert ours.getblocking()  # its description may be shared: the flag is not ours to set


def test_a_pipe_is_not_waited_for_and_keeps_its_flags() -> None:
    reader, writer = os.pipe()
    try:
        with closing(outlet.to_standard(writer)) as out:
            dropped = out.put([LINE] * 200)
            assert 0 < dropped < 200
            assert "unavailable" in out.error
            assert os.get_blocking(writer)
            assert os.read(reader, 1 << 20) == LINE * (200 - dropped)
            assert out.put([b"again\n"]) == 0
    finally:
        os.close(reader)
        os.close(writer)


def test_where_a_pipe_cannot_be_opened_anew_it_is_asked_for_room() -> None:
    reader, writer = os.pipe()
    poll = select.poll()
    poll.register(writer, select.POLLOUT)
    try:
        with closing(Outlet(writer, poll)) as out:
            dropped = out.put([LINE] * 200)  # it would block here
            assert 0 < dropped < 200
            assert os.read(reader, 1 << 20) == LINE * (200 - dropped)
            assert out.put([b"again\n"]) == 0
    finally:
        os.close(reader)
