"""A small HTTP backend for `gw up --demo`: `python -P -m cli.demo_backend --port N --name fast-1 --delay 0.002`.

Answers every path with JSON that says which instance answered, and `/health` without delay. Prints its port as its
first line, and ends when its standard input does, so it never outlives what started it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import suppress
from functools import partial
from http import HTTPStatus

import h11
import trio

SERVICE = "demo"
RECEIVE_BYTES = 16 * 1024


class DemoServer:
    """Serves one instance's connections."""

    def __init__(self, name: str, delay: float) -> None:
        self._name = name
        self._delay = delay
        self._served = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection, until either side closes it."""
        connection = h11.Connection(h11.SERVER)
        async with stream:
            with suppress(trio.BrokenResourceError):  # the client is gone
                await self._converse(stream, connection)

    async def _converse(self, stream: trio.SocketStream, connection: h11.Connection) -> None:
        try:
            while await self._exchange(stream, connection):
                connection.start_next_cycle()
        except h11.RemoteProtocolError as error:
            if connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                await _send(stream, connection, error.error_status_hint, {"error": str(error)})

    async def _exchange(self, stream: trio.SocketStream, connection: h11.Connection) -> bool:
        """Read one request and answer it; whether the connection can carry another."""
        request: h11.Request | None = None
        received = 0
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                if connection.they_are_waiting_for_100_continue:
                    await stream.send_all(
                        connection.send(h11.InformationalResponse(status_code=100, headers=[])) or b""
                    )
                connection.receive_data(await stream.receive_some(RECEIVE_BYTES))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                received += len(event.data)
            elif isinstance(event, h11.ConnectionClosed):
                return False
            elif isinstance(event, h11.EndOfMessage):
                break
        assert request is not None
        await self._answer(stream, connection, request, received)
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE

    async def _answer(
        self, stream: trio.SocketStream, connection: h11.Connection, request: h11.Request, received: int
    ) -> None:
        target = request.target.decode("ascii", "replace")
        is_head = request.method == b"HEAD"
        if target == "/health":
            await _send(stream, connection, 200, {"status": "ok"}, is_head=is_head)
            return
        self._served += 1
        await trio.sleep(self._delay)
        headers = dict(request.headers)
        answer: dict[str, object] = {
            "service": SERVICE,
            "instance": self._name,
            "method": request.method.decode("ascii", "replace"),
            "path": target,
            "body_bytes": received,
            "served": self._served,
            "request_id": headers.get(b"x-request-id", b"").decode("latin-1"),
            "forwarded_for": headers.get(b"x-forwarded-for", b"").decode("latin-1"),
        }
        await _send(stream, connection, 200, answer, is_head=is_head)


async def _send(
    stream: trio.SocketStream,
    connection: h11.Connection,
    status: int,
    answer: dict[str, object],
    *,
    is_head: bool = False,
) -> None:
    body = json.dumps(answer).encode() + b"\n"
    fields = [("content-type", "application/json"), ("content-length", str(len(body)))]
    head = h11.Response(status_code=status, headers=fields, reason=HTTPStatus(status).phrase.encode())
    data = h11.Data(data=b"" if is_head else body)
    events: tuple[h11.Event, ...] = (head, data, h11.EndOfMessage())
    await stream.send_all(b"".join(connection.send(event) or b"" for event in events))


def _wait_stdin_end() -> None:
    while os.read(0, 4096):
        pass


async def run(port: int, name: str, delay: float) -> None:
    """Serve on loopback until standard input ends. Port 0: a free one. Raises OSError when the port is taken."""
    server = DemoServer(name, delay)
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, server.serve, port, host="127.0.0.1")
        listeners: list[trio.SocketListener] = await nursery.start(serve)
        sys.stdout.write(f"{listeners[0].socket.getsockname()[1]}\n")
        sys.stdout.flush()
        await trio.to_thread.run_sync(_wait_stdin_end, abandon_on_cancel=True)
        nursery.cancel_scope.cancel()


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser(description="A small HTTP backend for `gw up --demo`.")
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0: a free one, printed")
    parser.add_argument("--name", required=True, help="the instance's name in its answers")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before an answer")
    options = parser.parse_args()
    try:
        trio.run(run, options.port, options.name, options.delay)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
