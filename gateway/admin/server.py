"""The admin interface on the wire: starlette's routing on hypercorn's trio server.

It binds its own listener first, so that an address in use is a sentence and port 0 is reported as
what it became. Nothing here decides what is answered; that is `handlers` and `metrics`.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.logging import Logger
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.admin import handlers, metrics
from gateway.admin import why as stories
from gateway.admin.exposition import Exposition
from gateway.admin.facts import Facade
from gateway.admin.handlers import Reply
from gateway.admin.page.routes import page_routes
from gateway.admin.secure import Secured

BACKLOG = 100
BODY_BYTES = 65536  # of a request
LATECOMERS = 0.5  # seconds in which a request may still come on a connection when the server stops
LINGER = 1.0  # seconds that answers under way may then take

log = structlog.get_logger("gateway.admin")


class AdminBindError(Exception):
    """The admin address cannot be listened on. The message is a sentence for a person."""


def make_app(facade: Facade, bound: str) -> Secured:
    """The admin interface as an ASGI application, to be listened for on `bound` (`host:port`)."""

    def show(answer: Callable[[Facade], Reply]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(_request: Request) -> Response:
            return _respond(answer(facade))

        return endpoint

    def operate(answer: Callable[[Facade], Awaitable[Reply]]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(_request: Request) -> Response:
            return _respond(await answer(facade))

        return endpoint

    def operate_with(answer: Callable[[Facade, object], Awaitable[Reply]]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            asked = await _read_json(request)

            async def operation(facade: Facade) -> Reply:
                return asked if isinstance(asked, Reply) else await answer(facade, asked)

            return await operate(operation)(request)

        return endpoint

    async def show_progress(request: Request) -> Response:
        return _respond(handlers.show_progress(facade, request.query_params.get("service", "")))

    exposition = Exposition()
    one_at_a_time = trio.CapacityLimiter(1)

    async def show_metrics(request: Request) -> Response:
        reading = metrics.read_ledger(facade.overview(), facade.figures(), facade.ledger, time.time())
        accept = request.headers.get("accept", "")

        def write() -> tuple[bytes, str]:
            return exposition.render(metrics.measure(reading), accept)

        # Writing thousands of lines takes a while: not in the loop that times probes.
        body, media_type = await trio.to_thread.run_sync(write, limiter=one_at_a_time)
        return Response(body, media_type=media_type)

    app = Starlette(
        routes=[
            Route("/health", show(handlers.health), methods=["GET"]),
            Route("/ready", show(handlers.ready), methods=["GET"]),
            Route("/metrics", show_metrics, methods=["GET"]),
            Route("/api/status", show(handlers.show_status), methods=["GET"]),
            Route("/api/routes", show(handlers.show_routes), methods=["GET"]),
            Route("/api/services", show(handlers.show_services), methods=["GET"]),
            Route("/api/progress", show_progress, methods=["GET"]),
            Route("/api/config", show(handlers.show_config), methods=["GET"]),
            Route("/api/why", _show_why(facade), methods=["GET"]),
            Route("/api/reload", operate(handlers.reload), methods=["POST"]),
            Route("/api/explain", operate_with(handlers.explain), methods=["POST"]),
            Route("/api/drain", operate_with(_at_once(handlers.drain)), methods=["POST"]),
            Route("/api/undrain", operate_with(_at_once(handlers.undrain)), methods=["POST"]),
            Route("/api/down", operate(_down), methods=["POST"]),
            *page_routes(facade),
        ],
        exception_handlers={HTTPException: _refuse, Exception: _fail},
    )
    app.router.redirect_slashes = False
    return Secured(app, facade, bound)


def _show_why(facade: Facade) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return _respond(await stories.why(facade, request.query_params))

    return endpoint


async def serve(
    facade: Facade,
    bind: str | socket.socket,
    *,
    shutdown: trio.Event | None = None,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `shutdown` is set, or cancelled. Started with the address really bound, `host:port`.

    `bind` is `host:port` (port 0: any free one), or a socket that listens, which is closed at the end.
    Raises AdminBindError before that when the address cannot be listened on.
    """
    listener = await listen(bind) if isinstance(bind, str) else bind
    address = address_of(listener)
    config = Config()
    config.include_server_header = False
    config.logger_class = _ControlPlaneLogger
    app = ASGIWrapper(make_app(facade, address))  # type: ignore[arg-type]  # they spell ASGI's types apart
    context = WorkerContext(None)
    shutdown = trio.Event() if shutdown is None else shutdown
    # hypercorn.trio.serve would end connections as soon as it ceases to accept, those whose request is on its way too.
    handle = partial(TCPServer, app, config, context, ConnectionState({}))
    async with trio.open_nursery() as connections:
        async with trio.open_nursery() as acceptors:
            listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(listener))]
            await acceptors.start(partial(trio.serve_listeners, handle, listeners, handler_nursery=connections))
            task_status.started(address)
            await shutdown.wait()
            acceptors.cancel_scope.cancel()
        await trio.sleep(LATECOMERS)
        await context.terminated.set()  # idle connections close, others with the answer under way
        connections.cancel_scope.deadline = trio.current_time() + LINGER


async def _down(facade: Facade) -> Reply:
    return handlers.down(facade)


def _at_once(answer: Callable[[Facade, object], Reply]) -> Callable[[Facade, object], Awaitable[Reply]]:
    async def answer_now(facade: Facade, asked: object) -> Reply:
        return answer(facade, asked)

    return answer_now


def _respond(reply: Reply) -> Response:
    return JSONResponse(dict(reply.body), status_code=reply.status, media_type=reply.media_type)


async def _read_json(request: Request) -> object:
    """What the body says, or the `Reply` that refuses it."""
    body = bytearray()
    async with aclosing(request.stream()) as pieces:
        async for piece in pieces:
            body += piece
            if len(body) > BODY_BYTES:
                return handlers.problem(413, "body_too_large", f"The body is larger than {BODY_BYTES} bytes.")
    try:
        asked: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        return handlers.problem(400, "bad_request", f"The body is not JSON: {error}.")
    return asked


async def _refuse(request: Request, error: Exception) -> Response:
    """An unknown path or a wrong method."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        detail = f"{request.method} is not possible on {request.url.path}, only {headers.get('Allow', 'nothing')}."
        reply = handlers.problem(405, "method_not_allowed", detail)
    elif error.status_code == 404:
        reply = handlers.problem(404, "no_such_path", f"The admin interface has no path {request.url.path}.")
    else:
        reply = handlers.problem(error.status_code, "refused", str(error.detail))
    response = _respond(reply)
    response.headers.update(headers)
    return response


async def _fail(_request: Request, _error: Exception) -> Response:
    """A fault of our own; starlette raises it again after this answer, and hypercorn logs it."""
    return _respond(handlers.problem(500, "internal_error", "The admin interface failed; the log says how."))


async def listen(bind: str) -> socket.socket:
    """A listening socket on `bind`, as `serve`. Raises AdminBindError."""
    host, _, port = bind.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise AdminBindError(f"admin address {bind!r} is not HOST:PORT, such as 127.0.0.1:9901 or [::1]:9901")
    try:
        found = await trio.socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise AdminBindError(f"admin address {bind}: host {host!r} cannot be resolved ({error.strerror})") from error
    family, kind, protocol, _, target = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(target)
        listener.listen(BACKLOG)  # at once: two sockets that only bind can share a port, two listeners cannot
    except OSError as error:
        listener.close()
        raise AdminBindError(
            f"admin address {bind} cannot be listened on: {error.strerror}. Is another gateway running there? "
            "Stop it with `gw down`, or choose another address with --admin or `admin` under [gateway]"
        ) from error
    return listener


def address_of(listener: socket.socket) -> str:
    """`host:port`, as bound."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _ControlPlaneLogger(Logger):
    """Hypercorn's log, as far as it reports faults, in the control plane's; no access lines, no greetings."""

    def __init__(self, config: Config) -> None:
        self.access_logger = None
        self.error_logger = None

    async def access(self, request: object, response: object, request_time: float) -> None:
        """Asking for the status is not news."""

    async def debug(self, message: str, *args: Any, **kwargs: Any) -> None:
        """Not ours to tell."""

    async def info(self, message: str, *args: Any, **kwargs: Any) -> None:
        """ "Running on ..." is told by whoever called serve()."""

    async def warning(self, message: str, *args: Any, **kwargs: Any) -> None:
        log.warning("admin_server", message=message % args if args else message, **kwargs)

    async def error(self, message: str, *args: Any, **kwargs: Any) -> None:
        log.error("admin_server", message=message % args if args else message, **kwargs)

    async def critical(self, message: str, *args: Any, **kwargs: Any) -> None:
        log.critical("admin_server", message=message % args if args else message, **kwargs)

    async def exception(self, message: str, *args: Any, **kwargs: Any) -> None:
        log.exception("admin_server", message=message % args if args else message, **kwargs)

    async def log(self, level: int, message: str, *args: Any, **kwargs: Any) -> None:
        log.log(level, "admin_server", message=message % args if args else message, **kwargs)
