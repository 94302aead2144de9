"""What a request meets before the route that it matched: see `gateway.routing.gate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import Reason
from gateway.proxy import provenance, reply
from gateway.routing.compiled import CompiledRoute, Matched, MethodNotAllowed
from gateway.shm.layout import NO_ROUTE_CELL

if TYPE_CHECKING:
    from gateway.h1.request import RequestHead
    from gateway.proxy.context import Context
    from gateway.proxy.downstream import Downstream


class OwnAnswer:
    """The gateway answers itself: with a redirect, or with a reason why it does not forward."""

    __slots__ = ("allow", "cell", "detail", "location", "reason", "route", "status")

    def __init__(
        self,
        route: CompiledRoute | None,
        reason: Reason | None,
        *,
        detail: str = "",
        redirect: int = 0,
        location: bytes = b"",
        allow: bytes = b"",
    ) -> None:
        """`redirect` is the status of an answer without a reason, `allow` what goes with a 405."""
        self.route = route
        self.cell = NO_ROUTE_CELL if route is None else route.cell  # where it counts
        self.reason = reason
        self.status = redirect if reason is None else reason.status
        self.detail = detail
        self.location = location
        self.allow = allow

    def response(self, head: RequestHead, ctx: Context, request_id: bytes, *, close: bool) -> bytes:
        """As it goes on the wire."""
        if self.reason is None:
            return reply.redirect(self.status, self.location, ctx, request_id, close=close)
        head_only = head.method == b"HEAD"
        return reply.problem(self.reason, ctx, request_id, head_only=head_only, close=close, allow=self.allow)


def unmatched(found: Matched) -> OwnAnswer:
    """What to say where there is no route to follow."""
    if isinstance(found, MethodNotAllowed):
        return OwnAnswer(None, Reason.METHOD_NOT_ALLOWED, allow=found.allow)
    return OwnAnswer(None, Reason.NO_ROUTE)


def match_with_port(head: RequestHead, ctx: Context) -> Matched:
    """The route, where the table has hosts with a port."""
    fields = head.fields
    table = ctx.table
    return table.match_port(fields.host, fields.host_field, head.path, head.method) or table.match(
        fields.host, head.path, head.method
    )


def enter(matched: Matched, head: RequestHead, down: Downstream, ctx: Context) -> Matched | OwnAnswer:
    """The route to follow, or what to answer instead."""
    found: Matched | OwnAnswer = matched
    while isinstance(found, CompiledRoute) and found.gate is not None:
        route = found
        if found.gate.split is not None:
            split = found.gate.split
            route = split.pick([ctx.services[each.service].count(each.only) for each in split.routes])
        gate = route.gate
        assert gate is not None  # all routes of a split have one
        if gate.access is not None:
            client = provenance.client_address(head, down, ctx.trusts)
            if not gate.access.admits(client):
                detail = f"client {client.decode('latin-1')} is not allowed by the route's rules"
                return OwnAnswer(route, Reason.ACCESS_DENIED, detail=detail)
        if gate.redirect is None:
            return route
        fields = head.fields
        host = fields.host_field
        if not host and gate.redirect.uses_host:
            return OwnAnswer(route, Reason.BAD_HOST, detail="the redirect needs a Host")
        path = route.upstream_path(head.path)
        location = gate.redirect.location(host, path, head.target[len(head.path) :])
        # What leads to where the client is already is no redirect: http://example.com/ to https://example.com/
        # holds for what came without TLS, the rest is for a less specific host.
        if location.partition(b"?")[0] != b"%b://%b%b" % (provenance.scheme(head, down), host, head.path):
            return OwnAnswer(route, None, redirect=gate.redirect.code, location=location)
        found = ctx.table.match_after(route, fields.host, host, head.path, head.method)
    return found
