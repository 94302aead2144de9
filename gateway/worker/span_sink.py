"""Records of traced requests on their way to the exporter: sent in batches, never waited for, dropped and counted."""

from __future__ import annotations

import socket

from gateway.proxy.context import Context
from gateway.trace_record import DATAGRAM_BYTES


class SpanSink:
    """One worker's end of the socket to the exporter, which all workers share."""

    def __init__(self, fd: int, ctx: Context) -> None:
        self.dropped = 0  # spans, since the worker's start
        self._sock = socket.socket(fileno=fd)
        self._ctx = ctx

    def flush(self) -> None:
        """Send what the batch has left behind."""
        records, self._ctx.spans = self._ctx.spans, []
        packet: list[bytes] = []
        size = spans = 0
        for record, count in records:
            if size + len(record) > DATAGRAM_BYTES and packet:
                self._send(packet, spans)
                packet, size, spans = [], 0, 0
            packet.append(record)
            size += len(record)
            spans += count
        self._send(packet, spans)

    def _send(self, packet: list[bytes], spans: int) -> None:
        try:
            self._sock.send(b"".join(packet), socket.MSG_DONTWAIT)
        except OSError:  # the exporter is behind, or gone with the supervisor
            self.dropped += spans

    def close(self) -> None:
        """Send no more."""
        self._sock.close()
