"""The access log: one line of bytes per request, written in batches, never waited for.

A pipe or terminal is opened anew by this worker, so that O_NONBLOCK stays its own: on an inherited
standard output the flag would be shared with whoever else writes there. Lines are whole: writes to a
pipe are at most PIPE_BUF bytes, which the kernel does not interleave (pipe(7)); files are opened with
O_APPEND. What cannot be written now is dropped and counted, never kept, never waited for.
"""

from __future__ import annotations

import json
import os
import stat
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

_PIPE_BYTES: Final = 4096  # PIPE_BUF on Linux
_STDOUT: Final = 1
_DIGITS: Final = tuple(b"%03d" % number for number in range(1000))  # three of them
_NUMBERS: Final = tuple(b"%d" % number for number in range(4096))
_STATUSES: Final = tuple(b'","status":%03d,"bytes_in":' % number for number in range(1000))


class AccessLog:
    """One worker's access log."""

    def __init__(self, report: Reporter) -> None:
        self.enabled = False
        self.dropped = 0  # lines
        self._report = report
        self._ctx: Context
        self._lines: list[bytes] = []
        self._target = "off"
        self._json = True
        self._fd = -1
        self._limit = 0  # bytes of one write; 0: any
        self._wall = -1.0  # what the two below stand for
        self._stamp = b""
        self._second = -1
        self._stamp_second = b""

    def bind(self, ctx: Context) -> None:
        """Use this worker's clocks."""
        self._ctx = ctx

    def use_settings(self, target: str, style: str) -> None:
        """`target`: a path, "stdout" or "off"; `style`: "json" or "console"."""
        self._json = style == "json"
        self._wall = -1.0
        if target != self._target:
            self.flush()
            self._target = target
            self.reopen()

    def reopen(self) -> None:
        """Open the destination again, as after a rotation. Failing, the log is off until the next try, and says so."""
        self.close()
        if self._target == "off":
            return
        try:
            self._fd = _open(self._target)
        except OSError as error:
            self._report(
                "error", "access log cannot be opened: no lines are written", path=self._target, error=str(error)
            )
            return
        self._limit = 0 if stat.S_ISREG(os.fstat(self._fd).st_mode) else _PIPE_BYTES
        self.enabled = True

    def close(self) -> None:
        """Write what is there and close."""
        self.flush()
        self.enabled = False
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def record(self, exchange: Exchange) -> None:
        """The line of a finished exchange."""
        ctx = self._ctx
        head = exchange.head
        down = exchange.down
        instance = exchange.instance
        self._lines.append(
            self._line(
                exchange.request_id,
                self._client(head, down) if down.trusted else down.peer,
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
                instance,
                exchange.service.name,
                exchange.route.logged,
                exchange.detail,
            )
        )

    def record_refusal(self, down: Downstream, request_id: bytes, reason: Reason, detail: str) -> None:
        """The line of a request that could not be understood."""
        self._lines.append(
            self._line(
                request_id, down.peer, down.peer, b"", b"", b"", reason.status, reason, 0, 0, 0.0, -1.0, 0,
                None, "", b'"route":""', detail,
            )
        )  # fmt: skip

    def record_own(self, down: Downstream, head: RequestHead, request_id: bytes, answer: OwnAnswer) -> None:
        """The line of a request that found no route, or that the gateway answered by its route's rules."""
        route = answer.route
        service, logged = ("", b'"route":""') if route is None else (route.service, route.logged)
        self._lines.append(
            self._line(
                request_id, self._client(head, down), down.peer, head.method, head.fields.host_field, head.target,
                answer.status, answer.reason, 0, 0, 0.0, -1.0, 0, None, service, logged, answer.detail,
            )
        )  # fmt: skip

    def _client(self, head: RequestHead, down: Downstream) -> bytes:
        """The client's address: not that of a trusted proxy in front."""
        return provenance.client_address(head, down, self._ctx.trusts) if down.trusted else down.peer

    def flush(self) -> None:
        """Write the lines of a batch."""
        if not self._lines:
            return
        lines, self._lines = self._lines, []
        if self._limit:
            self._write_pieces(lines)
        elif not self._write(b"".join(lines)):
            self.dropped += len(lines)

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
    ) -> bytes:
        if self._ctx.wall != self._wall:
            self._set_time(self._ctx.wall)
        if not self._json:
            return b'%b %b "%b %b" %d %d %.3f %b %b %b %b\n' % (
                client, self._stamp, method, target, status, bytes_out, seconds,
                instance.address.encode() if instance is not None else b"-", service.encode() or b"-",
                reason.slug.encode() if reason is not None else b"-", request_id,
            )  # fmt: skip
        if 0x22 in target or 0x5C in target:
            target = target.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
        extra = b""
        if client != peer:
            extra = b',"peer":"%b"' % peer
        if reason is not None:
            extra += b',"reason":"%b","detail":%b' % (reason.slug.encode(), json.dumps(detail).encode())
        duration = _milliseconds(seconds)
        # Nothing but %b: other conversions cost several times a look-up (measured, compiled and not).
        return (
            b'%b%b","client":"%b","method":"%b","host":"%b","target":"%b%b%b,"bytes_out":%b,"duration_ms":%b'
            b',"upstream_ms":%b,"attempts":%b,%b,%b%b}\n'
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
        """The beginning of the lines of a batch, all of which have the same time."""
        self._wall = wall
        second = int(wall)
        if second != self._second:
            self._second = second
            self._stamp_second = strftime("%Y-%m-%dT%H:%M:%S", gmtime(second)).encode()
        stamp = self._stamp_second + b"." + _DIGITS[int(wall * 1000) % 1000] + b"Z"
        self._stamp = b'{"time":"' + stamp + b'","request_id":"' if self._json else stamp

    def _write_pieces(self, lines: list[bytes]) -> None:
        """Pieces of whole lines that the kernel does not mix with those of other writers."""
        piece: list[bytes] = []
        size = 0
        for line in lines:
            if size + len(line) > self._limit and piece:
                if not self._write(b"".join(piece)):
                    self.dropped += len(piece)
                piece, size = [], 0
            piece.append(line)
            size += len(line)
        if not self._write(b"".join(piece)):
            self.dropped += len(piece)

    def _write(self, data: bytes) -> bool:
        try:
            return os.write(self._fd, data) == len(data)
        except OSError:  # full disk, stalled or vanished reader: the count tells
            return False


def _decimal(number: int) -> bytes:
    return _NUMBERS[number] if number < len(_NUMBERS) else b"%d" % number


def _milliseconds(seconds: float) -> bytes:
    """With three decimals; JSON's null for a time that is not known, which is negative."""
    if seconds < 0.0:
        return b"null"
    microseconds = int(seconds * 1e6)
    return _decimal(microseconds // 1000) + b"." + _DIGITS[microseconds % 1000]


def _open(target: str) -> int:
    if target != "stdout":
        return os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o640)
    mode = os.fstat(_STDOUT).st_mode
    # A socket cannot be opened anew (journald's always reads). A file never blocks, and whoever shares
    # this description with us (`gw up >file 2>&1`) must share the offset too, or one overwrites the other.
    if stat.S_ISSOCK(mode) or stat.S_ISREG(mode):
        return os.dup(_STDOUT)
    return os.open(f"/proc/self/fd/{_STDOUT}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
