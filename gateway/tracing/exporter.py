"""From the workers' datagrams to the collector: the loop of the exporter's process.

Its orders come on standard input: one line of JSON, which tells where to export and who this is (`Orders`); its end
means to send what there is and leave. On standard output it tells what became of spans, a line of JSON (`Tally`)
whenever that has changed. Sending, and waiting before it is tried again, is the SDK's thread's; meanwhile spans are
read and kept, and what there is no room for is dropped and counted.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from gateway.trace_record import BadRecord, unpack
from gateway.tracing.orders import Orders, Tally
from gateway.tracing.spans import SpanMaker

QUEUE: Final = 16384  # spans that wait to be sent
BATCH: Final = 512
DELAY_MS: Final = 1000  # at most between a span's end and its sending
FLUSH_SECONDS: Final = 3.0  # for all that is left, at the end
REPORT_SECONDS: Final = 0.5
MOST_READ: Final = 1024  # datagrams, before it is time to look around; more than the socket holds
_LARGEST: Final = 1 << 20  # bytes of a datagram


class _Listener(logging.Handler):
    """Takes down what the SDK says of its troubles, to be said by the supervisor, once."""

    def __init__(self, tally: Tally) -> None:
        super().__init__(logging.WARNING)
        self._tally = tally

    def emit(self, record: logging.LogRecord) -> None:
        self._tally.error = record.getMessage()


class CountingExporter(SpanExporter):
    """Counts what an exporter does. `taken` grows when a batch has left the queue."""

    def __init__(self, exporter: SpanExporter, tally: Tally) -> None:
        self._exporter = exporter
        self._tally = tally
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._tally.exported += len(spans)
            self._tally.error = ""
        else:
            self._tally.failed += len(spans)
            self._tally.error = self._tally.error or "the collector did not take them"
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class Export:
    """What the process does with datagrams."""

    def __init__(self, orders: Orders) -> None:
        self.tally = Tally()
        logging.getLogger().addHandler(_Listener(self.tally))
        self._exporter = CountingExporter(
            OTLPSpanExporter(endpoint=orders.endpoint, headers=dict(orders.headers)), self.tally
        )
        self._processor = BatchSpanProcessor(
            self._exporter, max_queue_size=QUEUE, schedule_delay_millis=DELAY_MS, max_export_batch_size=BATCH
        )
        self._maker = SpanMaker(Resource.create(dict(orders.resource)), InstrumentationScope("gw", orders.version))
        self._given = 0

    def take(self, datagram: bytes) -> None:
        """Hand on the spans of some requests."""
        try:
            for request in unpack(datagram):
                if self._given - self._exporter.taken + 1 + len(request.attempts) > QUEUE:
                    self.tally.dropped += 1 + len(request.attempts)
                    continue
                for span in self._maker.spans(request):
                    self._processor.on_end(span)
                    self._given += 1
        except BadRecord as error:
            self.tally.dropped += 1
            self.tally.error = str(error)

    def close(self) -> None:
        """Send what is left, for a moment."""
        sending = threading.Thread(target=self._processor.shutdown, daemon=True)
        sending.start()
        sending.join(FLUSH_SECONDS)
        self.tally.dropped += self._given - self.tally.exported - self.tally.failed


def run(orders: Orders, records: socket.socket) -> None:
    """Export until standard input ends."""
    export = Export(orders)
    told = ""
    next_report = 0.0
    poll = select.poll()
    poll.register(records, select.POLLIN)
    poll.register(sys.stdin, select.POLLIN | select.POLLHUP)
    stdin = sys.stdin.fileno()
    is_wanted = True
    while is_wanted:
        events = poll.poll(REPORT_SECONDS * 1000)
        is_wanted = all(fd != stdin for fd, _ in events)
        _read(records, export)
        if time.monotonic() >= next_report:
            told = _tell(export.tally, told)
            next_report = time.monotonic() + REPORT_SECONDS
    export.close()
    _tell(export.tally, told)


def _read(records: socket.socket, export: Export) -> None:
    for _ in range(MOST_READ):
        try:
            export.take(records.recv(_LARGEST, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return


def _tell(tally: Tally, told: str) -> str:
    """Tell the supervisor, if there is anything new; returns what it has been told."""
    text = tally.to_json()
    if text != told:
        try:
            os.write(sys.stdout.fileno(), text.encode() + b"\n")
        except BrokenPipeError:
            return told  # the supervisor is gone; standard input ends as well
    return text
