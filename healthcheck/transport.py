"""An httpx transport for probes: one connection for one request, nothing kept, bounded reading.

Why a fresh connection each time: it asks what the next client would find (does it still *accept*?), and it cannot
trip over an idle connection that the instance closes at the moment it is used again. Why not httpx's own transport:
its pool looks through all its connections for every request, which makes thousands of probes in flight quadratic, and
an own pool per probe costs more than twice the whole exchange does here. Plain HTTP/1.1 only; probes never leave it.
"""

from __future__ import annotations

import h11
import httpx
import trio

from healthcheck import dial

BODY_BYTES = 64 * 1024  # more of a body than this is not read
HEAD_BYTES = 64 * 1024  # a longer response head is refused
RECEIVE_BYTES = 16 * 1024


class OneShotTransport(httpx.AsyncBaseTransport):
    """Sends bodiless requests. The response carries at most BODY_BYTES of body. Sets no timeout: the caller does."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One exchange on one connection, closed afterwards.

        Raises httpx.ConnectError and httpx.ReadError (the OSError is their cause), httpx.RemoteProtocolError (not
        HTTP, or broken off), all with plain words as their message, and dial.ProbeNotSent.
        """
        url = request.url
        try:
            sock = await dial.connect(url.host, url.port or 80)
        except OSError as error:
            raise httpx.ConnectError(dial.words(error), request=request) from error
        with sock:
            try:
                return await _exchange(sock, request)
            except OSError as error:
                raise httpx.ReadError(dial.words(error), request=request) from error


async def _exchange(sock: trio.socket.SocketType, request: httpx.Request) -> httpx.Response:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
    head = h11.Request(method=request.method, target=request.url.raw_path, headers=request.headers.raw)
    await _send_all(sock, (connection.send(head) or b"") + (connection.send(h11.EndOfMessage()) or b""))
    status = 0
    body = bytearray()
    while len(body) < BODY_BYTES:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError as error:
            message = f"{status}, but its body broke off" if status else "not HTTP"
            raise httpx.RemoteProtocolError(message, request=request) from error
        if event is h11.NEED_DATA:
            received = await sock.recv(RECEIVE_BYTES)
            if not received and not status:
                raise httpx.RemoteProtocolError(_cut_short(connection.trailing_data[0]), request=request)
            connection.receive_data(received)
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            break
    return httpx.Response(status, content=bytes(body[:BODY_BYTES]), request=request)


def _cut_short(received: bytes) -> str:
    """What to call an answer that ended before its head did."""
    if not received:
        return "closed without an answer"
    return "broke off in the head" if received.startswith(b"HTTP/") else "not HTTP"


async def _send_all(sock: trio.socket.SocketType, data: bytes) -> None:
    while data:
        data = data[await sock.send(data) :]
