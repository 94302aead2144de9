"""Stands before everything that the admin interface answers: refuses what `guard` refuses, adds security headers."""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.admin import guard
from gateway.admin.facts import Facade

# The page brings everything itself and sends nothing anywhere else; there is no inline script and no inline style.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Secured:
    """An ASGI application in front of another one."""

    def __init__(self, app: ASGIApp, facade: Facade, bound: str) -> None:
        """`bound` is the address listened on, host:port."""
        self._app = app
        self._facade = facade
        self._bound = bound

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        headers = Headers(scope=scope)
        refused = guard.refuse_host(self._bound, headers.get("host"))
        if refused is None and scope["method"] not in ("GET", "HEAD"):
            refused = guard.refuse_post(self._facade.access, headers)
        if refused is None:
            await self._app(scope, receive, send_secured)
            return
        extra = {"WWW-Authenticate": "Bearer"} if refused.status == 401 else None
        response = JSONResponse(dict(refused.body), refused.status, extra, refused.media_type)
        await response(scope, receive, send_secured)
