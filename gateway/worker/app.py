"""One worker, put together: memory, loop, listeners, control; and its life: serve, drain, leave."""

from __future__ import annotations

import gc
import os
import random
import signal
import socket
import time
from typing import Final

import trio

from gateway.control import BACKLOG, Tell, WorkerSpec, WorkerState
from gateway.proxy.context import Context
from gateway.proxy.deadlines import Alarm
from gateway.proxy.downstream import Downstream
from gateway.proxy.stories import Stories
from gateway.proxy.trust import trust
from gateway.proxy.upstream import Upstream, UpstreamState
from gateway.routing.table import compile_table
from gateway.shm import rings
from gateway.shm.board import BoardReader
from gateway.shm.code_slots import CodeSlots
from gateway.shm.layout import (
    L_USED,
    R_ACCEPT_ERRORS,
    R_BYTES_IN,
    R_BYTES_OUT,
    R_CONNECTIONS,
    R_CONNECTIONS_REFUSED,
    R_CONNECTIONS_TOTAL,
    R_CRASHES,
    R_HEARTBEAT_NS,
    R_IN_FLIGHT,
    R_LOG_DROPPED,
    R_PID,
    R_REQUESTS_TOTAL,
    R_RETRIES,
    R_SPANS_DROPPED,
    R_STATE,
    R_UPSTREAM_IDLE,
    row_word,
)
from gateway.shm.ledger import Ledger
from gateway.shm.memory import attach
from gateway.snapshot.codec import Decoder
from gateway.snapshot.model import Snapshot
from gateway.worker.accept import Listener
from gateway.worker.access_log import AccessLog
from gateway.worker.control import Control, Wake
from gateway.worker.descriptors import Descriptors
from gateway.worker.loop import Loop
from gateway.worker.orphan import ORPHAN_GRACE, Orphan, say
from gateway.worker.span_sink import SpanSink
from gateway.worker.view import View

HEARTBEAT_SECONDS: Final = 0.5
_EMPTY: Final = compile_table(())


class CannotBoot(Exception):
    """The worker cannot start, and would not the next time either."""


class Worker:
    """See the module."""

    def __init__(self, spec: WorkerSpec) -> None:
        board = BoardReader(attach(spec.board, writable=False))
        ledger = Ledger(attach(spec.ledger, writable=True), spec.rows)
        stories = attach(spec.stories, writable=True)
        rings.check(stories, spec.rows)
        decoder = Decoder()
        copy = board.read()
        if copy is None:
            raise CannotBoot("the board holds no snapshot")
        first: Snapshot = decoder.decode(copy[1])
        self._state = WorkerState.STARTING
        self._alarm = Alarm(self._on_alarm)
        self._words = ledger.words
        self._row = spec.worker
        self._log = AccessLog(self._report)
        self._ctx = ctx = Context(
            settings=first.settings,
            table=_EMPTY,
            words=ledger.words,
            row=spec.worker,
            codes=CodeSlots(ledger.words, spec.worker),
            access=self._log,
            stories=Stories(stories, spec.worker),
            trusts=trust(()),
            report=self._report,
            rng=random.SystemRandom(),  # nobody can guess the next id, and many at a time it costs no more
        )
        self._log.bind(ctx)
        self._view = View(board, first, decoder)
        self._spans = SpanSink(spec.spans, ctx)
        self._loop = Loop(ctx, self._view.refresh, self._spans.flush)
        ctx.network = self._loop
        self._spec = spec
        self._orphan: Orphan | None = None
        self._control = Control(self._loop, spec.control, self._on_tell, self._on_supervisor_gone)
        self._wake = Wake(self._loop, spec.wake)
        self._view.start(ctx, self._control.tell_ejection)
        self._files = Descriptors()
        self._listeners = [self._accept_from(fd, is_shared=fd in spec.shared) for fd in spec.listeners]
        self._words[row_word(self._row, R_PID)] = os.getpid()
        self._words_by_stat = tuple(
            (row_word(self._row, word), name)
            for word, name in (
                (R_CONNECTIONS, "connections"),
                (R_CONNECTIONS_TOTAL, "connections_total"),
                (R_CONNECTIONS_REFUSED, "connections_refused"),
                (R_IN_FLIGHT, "in_flight"),
                (R_REQUESTS_TOTAL, "requests"),
                (R_RETRIES, "retries"),
                (R_CRASHES, "crashes"),
                (R_ACCEPT_ERRORS, "accept_errors"),
                (R_BYTES_IN, "bytes_in"),
                (R_BYTES_OUT, "bytes_out"),
                (R_UPSTREAM_IDLE, "upstream_idle"),
            )
        )

    async def run(self) -> None:
        """Serve until drained or told to stop."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_beating)
            nursery.start_soon(self._watch_signals)
            # What exists now lives as long as the worker: the collector need not look at it again.
            gc.collect()
            gc.freeze()
            self._enter(WorkerState.SERVING)
            self._beat()  # one that serves is no longer given a boot's time to beat
            self._control.tell(Tell.READY, pid=os.getpid())
            await self._loop.run()
            nursery.cancel_scope.cancel()
        self._write_stats()
        self._log.close()
        self._loop.close()
        self._spans.close()

    # --- what the supervisor says -------------------------------------------------------------------

    def _on_tell(self, tell: Tell, fields: dict[str, object], fds: list[int]) -> None:
        if tell is Tell.LISTEN:
            self._listen(fds, str(fields["shared"]))
        elif tell is Tell.DRAIN:
            seconds = fields.get("timeout", self._ctx.settings.drain_timeout)
            self._ctx.is_replaced = fields.get("is_replaced") is True
            self._drain(float(seconds) if isinstance(seconds, int | float) else self._ctx.settings.drain_timeout)
        elif tell is Tell.STOP:
            self._loop.is_stopping = True
        elif tell is Tell.REOPEN_LOG:
            self._log.reopen()
        elif tell is Tell.REFUTE:
            self._refute(fields)

    def _listen(self, fds: list[int], shared: str) -> None:
        """Accept from these sockets and no others. A socket is known by its inode, whatever its descriptor.

        `shared` has a "1" for each that all workers have, "0" for each of this worker's own.
        """
        now_open = {os.fstat(each.fd).st_ino: each for each in self._listeners}
        self._listeners = []
        for fd, is_shared in zip(fds, shared, strict=True):
            listener = now_open.pop(os.fstat(fd).st_ino, None)
            if self._ctx.draining or listener is not None:
                os.close(fd)
            else:
                listener = self._accept_from(fd, is_shared=is_shared == "1")
            if listener is not None:
                self._listeners.append(listener)
        for listener in now_open.values():
            listener.close()

    def _accept_from(self, fd: int, *, is_shared: bool) -> Listener:
        sock = socket.socket(fileno=fd)
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            sock.listen(BACKLOG)
        return Listener(self._loop, self._ctx, sock, self._files, is_shared)

    def _refute(self, fields: dict[str, object]) -> None:
        since = fields.get("since")
        service = self._ctx.services.get(str(fields.get("service")))
        if service is not None and isinstance(since, float):
            service.refute(str(fields.get("instance")), since, self._ctx.now, str(fields.get("detail")))

    def _on_supervisor_gone(self) -> None:
        if self._state is not WorkerState.SERVING:
            return
        self._enter(WorkerState.ORPHANED)
        event = "the supervisor is gone: serving on for a moment, unless a new gateway takes over"
        self._report("error", event, seconds=ORPHAN_GRACE)
        self._serve_for(ORPHAN_GRACE)
        try:
            self._orphan = Orphan(
                self._loop,
                self._spec.orphan_name,
                [listener.sock for listener in self._listeners],
                self._words[L_USED],
                serve_for=self._serve_for,
                on_ready=self._on_replaced,
                say=self._report,
            )
        except OSError as error:
            self._report("error", "a new gateway cannot take over from this worker", error=str(error))

    def _serve_for(self, seconds: float) -> None:
        """An orphan's time."""
        if self._state is WorkerState.ORPHANED:
            self._ctx.deadlines.arm(self._alarm, self._ctx.now + seconds)

    def _on_replaced(self) -> None:
        self._ctx.is_replaced = True
        self._drain(self._ctx.settings.drain_timeout)

    def _on_alarm(self, now: float) -> None:
        """The orphan's grace or the drain is over."""
        if self._state is WorkerState.ORPHANED:
            self._report("warning", "no new gateway has taken over, draining")
            self._drain(self._ctx.settings.drain_timeout)
        else:
            self._loop.is_stopping = True

    def _drain(self, timeout: float) -> None:
        """Accept no more, let what is in flight finish, then stop; at the latest after `timeout` seconds."""
        if self._ctx.draining:
            return
        self._enter(WorkerState.DRAINING)
        if self._orphan is not None:
            self._orphan.close()
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        self._ctx.draining = True
        for wire in self._loop.wires():
            machine = wire.machine
            if isinstance(machine, Downstream):
                machine.drain()
            elif isinstance(machine, Upstream) and machine.state is UpstreamState.IDLE:
                machine.close()
        self._ctx.deadlines.arm(self._alarm, self._ctx.now + timeout)

    # --- beside the loop ----------------------------------------------------------------------------

    def _beat(self) -> None:
        self._words[row_word(self._row, R_HEARTBEAT_NS)] = time.monotonic_ns()
        self._write_stats()

    async def _keep_beating(self) -> None:
        while True:
            await trio.sleep(HEARTBEAT_SECONDS)
            self._beat()

    async def _watch_signals(self) -> None:
        """Only the supervisor is meant to be signalled; a worker that is drains as if told to."""
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1) as signals:
            async for number in signals:
                if number in (signal.SIGTERM, signal.SIGINT):
                    self._drain(self._ctx.settings.drain_timeout)

    def _enter(self, state: WorkerState) -> None:
        self._state = state
        self._words[row_word(self._row, R_STATE)] = state

    def _write_stats(self) -> None:
        self._ctx.counts.write()
        stats = self._ctx.stats
        for word, name in self._words_by_stat:
            self._words[word] = getattr(stats, name)
        self._words[row_word(self._row, R_LOG_DROPPED)] = self._log.dropped
        self._words[row_word(self._row, R_SPANS_DROPPED)] = self._spans.dropped

    def _report(self, level: str, event: str, **fields: object) -> None:
        if self._control.is_gone:
            say(self._row, self._ctx.settings.access_format, level, event, **fields)
        else:
            self._control.report(level, event, **fields)


async def serve(spec: WorkerSpec) -> None:
    """Be the worker that `spec` describes. Raises CannotBoot, LayoutMismatch or CodecError before it serves."""
    await Worker(spec).run()
