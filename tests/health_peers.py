"""What a probe meets: servers of a few lines on loopback, and one probe sent to them by a real agent."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import trio

from discovery.settings import HealthSettings
from healthcheck.agent import HealthAgent
from healthcheck.model import Target, Verdict

Handler = Callable[[trio.abc.Stream], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
DEADLINE = 20.0  # seconds


@asynccontextmanager
async def serving(
    handler: Handler, host: str = "127.0.0.1", context: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """The address of a server that lets `handler` have every connection, over TLS with a context."""

    async def accept(stream: trio.SocketStream) -> None:
        if context is None:
            await handler(stream)
            return
        secured = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
        try:
            await secured.do_handshake()
            await handler(secured)
            await secured.aclose()
        except trio.BrokenResourceError:
            return  # the client did not like the certificate

    async with trio.open_nursery() as nursery:
        listeners: list[trio.SocketListener] = await nursery.start(partial(trio.serve_tcp, accept, 0, host=host))
        port = listeners[0].socket.getsockname()[1]
        yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        nursery.cancel_scope.cancel()


def saying(answer: bytes, heard: list[bytes] | None = None) -> Handler:
    """A handler that reads a request's head, says `answer` and closes."""

    async def handler(stream: trio.abc.Stream) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            received = await stream.receive_some()
            if not received:
                return
            request += bytes(received)
        if heard is not None:
            heard.append(request)
        try:
            await stream.send_all(answer)
        except trio.BrokenResourceError:
            return  # the probe had enough

    return handler


async def probe(address: str, settings: HealthSettings) -> Verdict:
    """What a real agent makes of the address, by its first probe."""
    target = Target("users", address)
    agent = HealthAgent(lambda transition: None, lambda target, verdict: None, lambda trouble: None)
    agent.reconcile({target: replace(settings, interval=3600.0)})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(agent.run)
        with trio.fail_after(DEADLINE):
            while (verdict := agent.last(target)) is None:
                await trio.sleep(0.001)
        nursery.cancel_scope.cancel()
    return verdict
