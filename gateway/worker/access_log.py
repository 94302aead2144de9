"""The access log: one line of bytes per request, written in batches (see `log_sink` for where to).

The usual JSON line is put together here, from parts that are ready; every other form by `access_fields`.
"""

from __future__ import annotations

import json
from random import random
from time import gmtime, strftime
from typing import Final

from gateway.balance.instance import LiveInstance
from gateway.errors import Reason
from gateway.h1.request import RequestHead
from gateway.proxy import provenance
from gateway.proxy.context import Context, Reporter
from gateway.proxy.downstream import Downstream
from gateway.proxy.exchange import Exchange
from gateway.proxy.gate import OwnAnswer
from gateway.snapshot.model import WorkerSettings
from gateway.worker import access_fields
from gateway.worker.access_fields import Entry, Line
from gateway.worker.log_sink import LogSink

_DIGITS: Final = tuple(b"%03d" % number for number in range(1000))  # three of them
_NUMBERS: Final = tuple(b"%d" % number for number in range(4096))
_STATUSES: Final = tuple(b'","status":%03d,"bytes_in":' % number for number in range(1000))


class AccessLog:
    """One worker's access log."""

    def __init__(self, report: Reporter) -> None:
        self.enabled = False
        self._sink = LogSink(report)
        self._ctx: Context
        self._lines: list[bytes] = []
        self._target = "off"
        self._other: Line | None = None  # how a line is made that is not the usual one
        self._wall = -1.0  # what the two below stand for
        self._stamp = b""
        self._second = -1
        self._stamp_second = b""

    def bind(self, ctx: Context) -> None:
        """Use this worker's clocks."""
        self._ctx = ctx

    @property
    def dropped(self) -> int:
        """Lines that could not be written."""
        return self._sink.dropped

    def use_settings(self, settings: WorkerSettings) -> None:
        """Where to, in which form, with which fields."""
        self._wall = -1.0
        self._other = None
        if settings.access_format == "combined":
            self._other = access_fields.combined
        elif settings.access_format == "console":
            self._other = access_fields.console
        elif settings.access_fields:
            self._other = access_fields.chosen(settings.access_fields)
        if settings.access_log != self._target:
            self.flush()
            self._target = settings.access_log
            self.reopen()

    def reopen(self) -> None:
        """Open the destination again, as after a rotation."""
        self.close()
        self._sink.open(self._target)
        self.enabled = self._target != "off"

    def close(self) -> None:
        """Write what is there and close."""
        self.flush()
        self.enabled = False
        self._sink.close()

    def record(self, exchange: Exchange) -> None:
        """The line of a finished exchange."""
        ctx = self._ctx
        head = exchange.head
        down = exchange.down
        route = exchange.route
        if route.log_sample < 1.0 and self._is_left_out(exchange):
            return
        client = self._client(head, down) if down.trusted else down.peer
        if self._other is not None:
            self._add(
                exchange.request_id, client, down.peer, head, exchange.status, exchange.reason, exchange.detail,
                ctx.now - exchange.started, exchange.service.name, route.label, exchange,
            )  # fmt: skip
            return
        self._lines.append(
            self._line(
                exchange.request_id,
                client,
                down.peer,
                head.method,
                head.fields.host_field,
                head.target,
                exchange.status,
                exchange.reason,
                exchange.bytes_in,
                exchange.bytes_out,
                ctx.now - exchange.started,
                exchange.upstream_seconds,
                exchange.attempts,
                exchange.instance,
                exchange.service.name,
                route.logged,
                exchange.detail,
                b',"tries":' + access_fields.tries(exchange) if exchange.failed else b"",
            )
        )

    def _is_left_out(self, exchange: Exchange) -> bool:
        """What went well is left out, but for its route's share."""
        is_well = exchange.reason is None and exchange.status < 500 and not exchange.failed
        return is_well and random() >= exchange.route.log_sample  # noqa: S311 - a sample, no secret

    def record_refusal(self, down: Downstream, request_id: bytes, reason: Reason, detail: str) -> None:
        """The line of a request that could not be understood."""
        if self._other is not None:
            self._add(request_id, down.peer, down.peer, None, reason.status, reason, detail, 0.0, "", "", None)
            return
        self._lines.append(
            self._line(
                request_id, down.peer, down.peer, b"", b"", b"", reason.status, reason, 0, 0, 0.0, -1.0, 0,
                None, "", b'"route":""', detail, b"",
            )
        )  # fmt: skip

    def record_own(self, down: Downstream, head: RequestHead, request_id: bytes, answer: OwnAnswer) -> None:
        """The line of a request that found no route, or that the gateway answered by its route's rules."""
        route = answer.route
        service = "" if route is None else route.service
        client = self._client(head, down)
        if self._other is not None:
            label = "" if route is None else route.label
            self._add(
                request_id, client, down.peer, head, answer.status, answer.reason, answer.detail, 0.0, service, label,
                None,
            )  # fmt: skip
            return
        self._lines.append(
            self._line(
                request_id, client, down.peer, head.method, head.fields.host_field, head.target, answer.status,
                answer.reason, 0, 0, 0.0, -1.0, 0, None, service, b'"route":""' if route is None else route.logged,
                answer.detail, b"",
            )
        )  # fmt: skip

    def _add(
        self,
        request_id: bytes,
        client: bytes,
        peer: bytes,
        head: RequestHead | None,
        status: int,
        reason: Reason | None,
        detail: str,
        seconds: float,
        service: str,
        route: str,
        exchange: Exchange | None,
    ) -> None:
        """A line in another form."""
        ctx = self._ctx
        if self._ctx.wall != self._wall:
            self._set_time(self._ctx.wall)
        assert self._other is not None
        self._lines.append(
            self._other(
                Entry(
                    ctx.wall, self._stamp, ctx.row, request_id, client, peer, head, status, reason, detail, seconds,
                    service, route, exchange,
                )
            )
        )  # fmt: skip

    def _client(self, head: RequestHead, down: Downstream) -> bytes:
        """The client's address: not that of a trusted proxy in front."""
        return provenance.client_address(head, down, self._ctx.trusts) if down.trusted else down.peer

    def flush(self) -> None:
        """Write the lines of a batch."""
        if self._lines:
            lines, self._lines = self._lines, []
            self._sink.write(lines, self._ctx.now)

    def _line(
        self,
        request_id: bytes,
        client: bytes,
        peer: bytes,
        method: bytes,
        host: bytes,
        target: bytes,
        status: int,
        reason: Reason | None,
        bytes_in: int,
        bytes_out: int,
        seconds: float,
        upstream_seconds: float,
        attempts: int,
        instance: LiveInstance | None,
        service: str,
        route: bytes,
        detail: str,
        extra: bytes,
    ) -> bytes:
        if self._ctx.wall != self._wall:
            self._set_time(self._ctx.wall)
        if 0x22 in target or 0x5C in target:
            target = target.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
        if client != peer:
            extra += b',"peer":"%b"' % peer
        if reason is not None:
            extra += b',"reason":"%b","detail":%b' % (reason.slug.encode(), json.dumps(detail).encode())
        duration = _milliseconds(seconds)
        # Nothing but %b: other conversions cost several times a look-up (measured, compiled and not).
        return (
            b'{"time":"%b","request_id":"%b","client":"%b","method":"%b","host":"%b","target":"%b%b%b,"bytes_out":%b'
            b',"duration_ms":%b,"upstream_ms":%b,"attempts":%b,%b,%b%b}\n'
        ) % (
            self._stamp,
            request_id,
            client,
            method,
            host,
            target,
            _STATUSES[status],
            _decimal(bytes_in),
            _decimal(bytes_out),
            duration,
            duration if upstream_seconds == seconds else _milliseconds(upstream_seconds),
            _decimal(attempts),
            instance.logged if instance is not None else b'"instance":"","service":"%b"' % service.encode(),
            route,
            extra,
        )

    def _set_time(self, wall: float) -> None:
        """What the lines of a batch, which all have the same time, say of it."""
        self._wall = wall
        second = int(wall)
        if second != self._second:
            self._second = second
            self._stamp_second = strftime("%Y-%m-%dT%H:%M:%S", gmtime(second)).encode()
        self._stamp = self._stamp_second + b"." + _DIGITS[int(wall * 1000) % 1000] + b"Z"


def _decimal(number: int) -> bytes:
    return _NUMBERS[number] if number < len(_NUMBERS) else b"%d" % number


def _milliseconds(seconds: float) -> bytes:
    """With three decimals; JSON's null for a time that is not known, which is negative."""
    if seconds < 0.0:
        return b"null"
    microseconds = int(seconds * 1e6)
    return _decimal(microseconds // 1000) + b"." + _DIGITS[microseconds % 1000]
