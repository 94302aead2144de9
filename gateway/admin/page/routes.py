"""The page's paths: `/`, `/live` (the part that changes), `/assets/...` and `/api/series`."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from gateway.admin.facts import Facade
from gateway.admin.page import render
from gateway.admin.page.view import Query, View, view
from gateway.admin.process import usage
from gateway.admin.series import LENGTH

_QUERY_CHARS: Final = 200
_FOR_EVER: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
_NEVER: Final = {"Cache-Control": "no-store"}


def page_routes(facade: Facade) -> list[Route]:
    """To be added to the admin interface's own."""

    def show(rendered: Callable[[View], str]) -> Callable[[Request], object]:
        async def endpoint(request: Request) -> Response:
            seen = view(
                facade.facts(),
                facade.ledger,
                facade.series,
                facade.access,
                _query(request),
                usage,
                time.time(),
            )
            # Thousands of lines take a while to write: not in the loop that times probes.
            return HTMLResponse(await trio.to_thread.run_sync(rendered, seen), headers=_NEVER)

        return endpoint

    async def series(request: Request) -> Response:
        seconds = request.query_params.get("seconds", "")
        count = int(seconds) if seconds.isascii() and seconds.isdigit() and len(seconds) < 6 else LENGTH
        services = request.query_params.getlist("service")
        body = partial(facade.series.body, services, max(1, min(count, LENGTH)))
        # As above: ten minutes of 500 services are a million numbers.
        return await trio.to_thread.run_sync(lambda: JSONResponse(body(), headers=_NEVER))

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        content = render.asset(name)
        if content is None:
            raise HTTPException(404)
        return Response(content, media_type=render.ASSETS[name], headers=_FOR_EVER)

    return [
        Route("/", show(render.page), methods=["GET"]),
        Route("/live", show(render.live), methods=["GET"]),
        Route("/assets/{name}", asset, methods=["GET"]),
        Route("/api/series", series, methods=["GET"]),
    ]


def _query(request: Request) -> Query:
    wanted = {name: request.query_params.get(name, "")[:_QUERY_CHARS] for name in ("q", "page", "service")}
    number = wanted["page"]
    is_number = number.isascii() and number.isdigit() and len(number) < 6
    return Query(wanted["q"].strip(), int(number) if is_number else 1, wanted["service"])
