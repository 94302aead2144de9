"""Every finished request leaves its story, for `gw why`: a line of bytes, kept until the batch ends, then in a ring.

What a line says, and what it leaves out, stands in `gateway.shm.story`. Failures and retries go to a ring of
their own, where the many requests that went well do not push them out.
"""

from __future__ import annotations

import json
import mmap
from typing import TYPE_CHECKING, Final

from gateway.balance.instance import LiveInstance
from gateway.errors import Reason
from gateway.h1.request import RequestHead
from gateway.proxy import provenance
from gateway.proxy.attempts import history
from gateway.shm.rings import NOTABLE, RECENT, RingWriter
from gateway.shm.story import ATTEMPTS, DETAIL_CHARS, HOST_BYTES, PATH_BYTES, REUSED, STALE

if TYPE_CHECKING:
    from gateway.proxy.context import Context
    from gateway.proxy.downstream import Downstream
    from gateway.proxy.exchange import Exchange
    from gateway.proxy.gate import OwnAnswer

_NUMBERS: Final = tuple(b"%d" % number for number in range(4096))
_NO_ROUTE: Final = b'"route":""'
_ENDINGS: Final = 4096  # kept at most; instances come and go


class _Ending:
    """What the lines of many requests end with: those of one route on one instance."""

    __slots__ = ("_candidates", "_route", "_status", "_told", "text")

    def __init__(self, exchange: Exchange, instance: LiveInstance) -> None:
        self._route = exchange.route
        self._status = exchange.status
        self._told = exchange.service.told
        self._candidates = exchange.candidates
        self.text = b"%b,%d,%d,{%b,%b}]\n" % (
            self._told, self._status, self._candidates, instance.logged, self._route.logged,
        )  # fmt: skip

    def is_of(self, exchange: Exchange) -> bool:
        """Does a line of this exchange, on the same instance, end so?"""
        return (
            exchange.status == self._status
            and exchange.route is self._route
            and exchange.candidates == self._candidates
            and exchange.service.told is self._told
        )


class Stories:
    """One worker's."""

    __slots__ = ("_endings", "_notable", "_notable_ring", "_recent", "_recent_ring", "_stamp", "_wall")

    def __init__(self, memory: mmap.mmap, row: int) -> None:
        """`memory` holds the rings of all workers, `row` is this one's number."""
        self._recent_ring = RingWriter(memory, row, RECENT)
        self._notable_ring = RingWriter(memory, row, NOTABLE)
        self._recent: list[bytes] = []  # lines that the ring has not got yet
        self._notable: list[bytes] = []
        self._endings: dict[LiveInstance, _Ending] = {}
        self._wall = -1.0  # what the stamp stands for
        self._stamp = b""

    def exchange(self, exchange: Exchange) -> None:
        """An exchange has ended."""
        if exchange.failed or exchange.reason is not None or exchange.instance is None:
            line = self._line(
                exchange.ctx, exchange.request_id, exchange.head, exchange.down, exchange.status,
                exchange.ctx.now - exchange.started, exchange.service.told, exchange.route.logged, exchange.reason,
                exchange.detail, _attempts(exchange), exchange.attempts, exchange.candidates,
            )  # fmt: skip
        else:
            line = self._answered_line(exchange, exchange.instance)
        if exchange.failed or exchange.status >= 500:
            self._notable.append(line)
        else:
            self._recent.append(line)

    def own(self, ctx: Context, down: Downstream, head: RequestHead, request_id: bytes, answer: OwnAnswer) -> None:
        """The gateway has answered by itself: there was no route, or its rules said so."""
        route = answer.route
        told, logged = b"null", _NO_ROUTE
        if route is not None:
            logged = route.logged
            service = ctx.services.get(route.service)
            if service is not None:
                told = service.told
        self._recent.append(
            self._line(
                ctx, request_id, head, down, answer.status, 0.0, told, logged, answer.reason, answer.detail, b"", 0, 0
            )
        )

    def refusal(self, ctx: Context, down: Downstream, request_id: bytes, reason: Reason, detail: str) -> None:
        """What came could not be understood."""
        self._recent.append(
            self._line(ctx, request_id, None, down, reason.status, 0.0, b"null", _NO_ROUTE, reason, detail, b"", 0, 0)
        )

    def write(self) -> None:
        """Bring the rings up to date."""
        if self._recent:
            self._recent_ring.append(self._recent)
            self._recent.clear()
        if self._notable:
            self._notable_ring.append(self._notable)
            self._notable.clear()

    def _answered_line(self, exchange: Exchange, instance: LiveInstance) -> bytes:
        """The short form, of one attempt that was answered."""
        ctx = exchange.ctx
        if ctx.wall != self._wall:
            self._set_time(ctx.wall)
        head = exchange.head
        down = exchange.down
        host = head.fields.host_field
        if len(host) > HOST_BYTES:
            host = _cut(host, HOST_BYTES)
        ending = self._endings.get(instance)
        if ending is None or not ending.is_of(exchange):
            ending = self._make_ending(exchange, instance)
        duration = ctx.now - exchange.started
        duration_us = _microseconds(duration)
        head_seconds = exchange.upstream_seconds
        # Each part costs, by formatting as by joining: hence few of them.
        return b'["1","%b","%b","%b","%b","%b","short",%b,%b,%b,%b,%b' % (
            exchange.request_id,
            provenance.client_address(head, down, ctx.trusts) if down.trusted else down.peer,
            head.method,
            host,
            _path(head),
            self._stamp,
            duration_us,
            _microseconds(exchange.connect_seconds),
            duration_us if head_seconds == duration else _microseconds(head_seconds),
            ending.text,
        )

    def _make_ending(self, exchange: Exchange, instance: LiveInstance) -> _Ending:
        if len(self._endings) >= _ENDINGS:
            self._endings.clear()
        ending = self._endings[instance] = _Ending(exchange, instance)
        return ending

    def _line(
        self,
        ctx: Context,
        request_id: bytes,
        head: RequestHead | None,
        down: Downstream,
        status: int,
        seconds: float,
        service: bytes,
        route: bytes,
        reason: Reason | None,
        detail: str,
        attempts: bytes,
        made: int,
        candidates: int,
    ) -> bytes:
        if ctx.wall != self._wall:
            self._set_time(ctx.wall)
        client, method, host, path = down.peer, b"", b"", b""
        if head is not None:
            if down.trusted:
                client = provenance.client_address(head, down, ctx.trusts)
            method, host, path = head.method, _cut(head.fields.host_field, HOST_BYTES), _path(head)
        failure = b"null"
        if reason is not None:
            failure = b'["%b",%b]' % (reason.slug.encode(), _text(detail))
        # Nothing but %b, as in the access log.
        return b'["1","%b","%b","%b","%b","%b","full",%b,%b,%b,%b,{%b},%b,[%b],%b,%b]\n' % (
            request_id, client, method, host, path, self._stamp, _microseconds(seconds), _NUMBERS[status], service,
            route, failure, attempts, _decimal(made), _decimal(candidates),
        )  # fmt: skip

    def _set_time(self, wall: float) -> None:
        self._wall = wall
        self._stamp = b"%d" % int(wall * 1000)


def _path(head: RequestHead) -> bytes:
    """The path as it stands between quotes."""
    path = head.path
    if len(path) > PATH_BYTES:
        path = _cut(path, PATH_BYTES)
    if 0x22 in path or 0x5C in path:
        return path.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return path


def _cut(text: bytes, size: int) -> bytes:
    return text if len(text) <= size else text[:size] + b"..."


def _attempts(exchange: Exchange) -> bytes:
    return b",".join(
        [
            _attempt(
                each.instance, each.candidates, each.started - exchange.started,
                (REUSED if each.is_reused else 0) | (STALE if each.is_stale else 0),
                each.connect_seconds, each.head_seconds, each.seconds, each.status, each.reason, each.detail,
            )
            for each in history(exchange)[-ATTEMPTS:]
        ]
    )  # fmt: skip


def _attempt(
    instance: LiveInstance,
    candidates: int,
    at: float,
    flags: int,
    connect: float,
    head: float,
    seconds: float,
    status: int,
    reason: Reason | None,
    detail: str,
) -> bytes:
    slug, told = b"", b'""'
    if reason is not None:
        slug, told = reason.slug.encode(), _text(detail)
    return b'[{%b},%b,%b,%b,%b,%b,%b,%b,"%b",%b]' % (
        instance.logged, _decimal(candidates), _microseconds(at), _NUMBERS[flags], _microseconds(connect),
        _microseconds(head), _microseconds(seconds), _NUMBERS[status], slug, told,
    )  # fmt: skip


def _text(detail: str) -> bytes:
    return json.dumps(detail[:DETAIL_CHARS]).encode()


def _decimal(number: int) -> bytes:
    return _NUMBERS[number] if number < len(_NUMBERS) else b"%d" % number


def _microseconds(seconds: float) -> bytes:
    """JSON's null for a time that never came, which is negative."""
    if seconds < 0.0:
        return b"null"
    return _decimal(int(seconds * 1e6))
