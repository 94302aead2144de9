"""WebSocket through the gateway: real frames both ways, large ones, and the close of either side."""

from __future__ import annotations

import hashlib
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)

from tests.gateway_config import one_service
from tests.gateways import RunningGateway, start_gateway

LARGE = 5_000_000


class EchoServer:
    """Echoes messages; the text "bye" is answered with a close of its own. One thread per connection."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.ended = threading.Semaphore(0)  # one more for every WebSocket that is over
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        machine = WSConnection(ConnectionType.SERVER)
        is_websocket = False
        with sock:
            while data := sock.recv(65536):
                machine.receive_data(data)
                for event in machine.events():
                    is_websocket = True
                    sock.sendall(self._answer(machine, event))
                    if isinstance(event, CloseConnection):
                        self.ended.release()
                        return
        if is_websocket:
            self.ended.release()

    def _answer(self, machine: WSConnection, event: Event) -> bytes:
        match event:
            case Request():
                if event.target == "/refuse":
                    return machine.send(RejectConnection(status_code=403))
                return machine.send(AcceptConnection(subprotocol=event.subprotocols[0] if event.subprotocols else None))
            case TextMessage(data="bye"):
                return machine.send(CloseConnection(code=1001, reason="going"))
            case TextMessage() | BytesMessage():
                return machine.send(event)
            case CloseConnection() if machine.state is ConnectionState.CLOSED:  # the answer to its own
                return b""
            case Ping() | CloseConnection():
                return machine.send(event.response())
        return b""


@pytest.fixture
def server() -> Iterator[EchoServer]:
    started = EchoServer()
    yield started
    started.close()


@pytest.fixture
def gateway(tmp_path: Path, server: EchoServer) -> Iterator[RunningGateway]:
    config = one_service(server.url, health='type = "tcp"\ninterval = 0.5')
    with start_gateway(tmp_path, config) as started:
        started.wait_until(lambda: started.status()["services"][0]["instances"][0]["eligible"])
        yield started


class Client:
    """A WebSocket client on a blocking socket."""

    def __init__(self, gateway: RunningGateway, target: str = "/chat") -> None:
        self.sock = socket.create_connection(("127.0.0.1", gateway.port), timeout=15)
        self.machine = WSConnection(ConnectionType.CLIENT)
        self._events: list[Event] = []
        self.send(Request(host=gateway.listen, target=target, subprotocols=["v2", "v1"]))

    def send(self, event: Event) -> None:
        self.sock.sendall(self.machine.send(event))

    def next(self) -> Event:
        """The next event; pieces of one message come one by one."""
        while not self._events:
            self.machine.receive_data(self.sock.recv(65536) or None)
            self._events = list(self.machine.events())
        return self._events.pop(0)

    def read_binary(self) -> bytes:
        """One whole message."""
        pieces = []
        while True:
            event = self.next()
            assert isinstance(event, BytesMessage)
            pieces.append(bytes(event.data))
            if event.message_finished:
                return b"".join(pieces)

    def assert_closed(self) -> None:
        """The connection itself has ended as well."""
        assert self.sock.recv(1) == b""
        self.sock.close()


def in_flight(gateway: RunningGateway) -> int:
    found: int = gateway.status()["services"][0]["instances"][0]["in_flight"]
    return found


def test_messages_both_ways_and_the_clients_close(gateway: RunningGateway, server: EchoServer) -> None:
    client = Client(gateway)
    accepted = client.next()
    assert isinstance(accepted, AcceptConnection)
    assert accepted.subprotocol == "v2"
    gateway.wait_until(lambda: in_flight(gateway) == 1)
    for n in range(100):
        client.send(TextMessage(data=f"message {n}"))
        assert client.next() == TextMessage(data=f"message {n}")
    client.send(Ping(payload=b"there?"))
    assert client.next() == Pong(payload=b"there?")
    client.send(CloseConnection(code=1000, reason="done"))
    assert client.next() == CloseConnection(code=1000, reason="done")
    client.assert_closed()
    assert server.ended.acquire(timeout=10)
    gateway.wait_until(lambda: in_flight(gateway) == 0)


def test_large_messages_arrive_unchanged(gateway: RunningGateway) -> None:
    client = Client(gateway)
    client.next()
    data = random.Random(3).randbytes(LARGE)
    sender = threading.Thread(target=client.send, args=(BytesMessage(data=data),))  # both ways at the same time
    sender.start()
    back = client.read_binary()
    sender.join()
    assert hashlib.sha256(back).digest() == hashlib.sha256(data).digest()
    client.sock.close()


def test_the_servers_close_reaches_the_client(gateway: RunningGateway) -> None:
    client = Client(gateway)
    client.next()
    client.send(TextMessage(data="bye"))
    closed = client.next()
    assert closed == CloseConnection(code=1001, reason="going")
    assert isinstance(closed, CloseConnection)
    client.send(closed.response())
    client.assert_closed()


def test_a_client_that_vanishes_ends_the_servers_side(gateway: RunningGateway, server: EchoServer) -> None:
    client = Client(gateway)
    client.next()
    client.sock.close()
    assert server.ended.acquire(timeout=10)
    gateway.wait_until(lambda: in_flight(gateway) == 0)


def test_a_refused_handshake_is_an_ordinary_answer(gateway: RunningGateway) -> None:
    client = Client(gateway, "/refuse")
    refused = client.next()
    assert isinstance(refused, RejectConnection)
    assert refused.status_code == 403
    client.sock.close()
