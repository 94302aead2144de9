"""The exporter of traces: started when tracing is on, told what it has to know, listened to, replaced, let go.

Workers write to one end of a socket pair, the exporter reads the other: both ends live as long as the supervisor, so
that another exporter (after a death, or with other settings) reads on where the last one stopped. Export failures are
said once, and once more when they are over.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from importlib.metadata import version
from typing import Final

import structlog
import trio

from gateway.admin.facts import TraceFacts
from gateway.config.load import Loaded
from gateway.supervisor.restart import describe_exit
from gateway.tracing.orders import Orders, Tally

LEAVE_SECONDS: Final = 5.0  # that an exporter has to send what it holds, and to end
_BUFFER_BYTES: Final = 4 << 20  # asked of the kernel, which gives what net.core.wmem_max allows
_LONGEST_BACK_OFF: Final = 30.0

log = structlog.get_logger(__name__)


def orders_of(loaded: Loaded) -> Orders | None:
    """What an exporter has to know; None: there is to be none."""
    tracing = loaded.tracing
    if not tracing.endpoint:
        return None
    release = version("gw")
    return Orders(
        endpoint=tracing.endpoint,
        headers=tracing.headers,
        resource={
            "service.version": release,
            **tracing.attributes,
            "service.name": tracing.service_name or loaded.gateway.name,
        },
        version=release,
    )


class TraceExport:
    """See the module. `run` is called once; `finish` ends it."""

    def __init__(self, orders: Orders | None) -> None:
        self._records, self._inlet = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._inlet.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        self._orders = orders
        self._changed = trio.Event()
        self._is_over = False
        self._done = trio.Event()
        self._tallies: list[Tally] = []  # of every exporter that there was
        self._error = ""
        self._pid = 0

    @property
    def inlet(self) -> int:
        """The descriptor that workers write records to."""
        return self._inlet.fileno()

    def facts(self) -> TraceFacts:
        """What became of spans, over all exporters."""
        return TraceFacts(
            exported=sum(each.exported for each in self._tallies),
            failed=sum(each.failed for each in self._tallies),
            dropped=sum(each.dropped for each in self._tallies),
            error=self._error,
            pid=self._pid,
        )

    def configure(self, orders: Orders | None) -> None:
        """Export by these orders from now on."""
        if orders != self._orders:
            self._orders = orders
            self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    async def run(self) -> None:
        """Keep an exporter alive while one is wanted. A former one sends what it holds meanwhile."""
        try:
            async with trio.open_nursery() as nursery:
                while not self._is_over:
                    changed = self._changed
                    if self._orders is not None:
                        nursery.start_soon(self._keep, self._orders, changed)
                    await changed.wait()
        finally:
            self._records.close()
            self._inlet.close()
            self._done.set()

    async def finish(self) -> None:
        """All workers are gone: let the exporter send what is left."""
        self._is_over = True
        self._wake()
        await self._done.wait()

    async def _keep(self, orders: Orders, leave: trio.Event) -> None:
        back_off = 1.0
        while not leave.is_set():
            returncode = await self._live(orders, leave)
            if leave.is_set():
                return
            log.error("exporter of traces died", how=describe_exit(returncode), restart_in=back_off)
            with trio.move_on_after(back_off):
                await leave.wait()
            back_off = min(back_off * 2, _LONGEST_BACK_OFF)

    async def _live(self, orders: Orders, leave: trio.Event) -> int:
        """One process from start to end; returns its exit code."""
        fd = self._records.fileno()
        process = await trio.lowlevel.open_process(
            (sys.executable, "-P", "-m", "gateway.tracing", str(fd)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(fd,),
            process_group=0,
        )
        assert process.stdin is not None
        self._pid = process.pid
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._dismiss, process, leave)
                await self._tell(process.stdin, orders)
                await self._listen(process, orders)
                returncode = await process.wait()
                nursery.cancel_scope.cancel()
            return returncode
        finally:
            self._pid = 0
            if process.returncode is None:
                process.kill()
                with trio.CancelScope(shield=True):
                    await process.wait()
            await process.stdin.aclose()

    async def _tell(self, stdin: trio.abc.SendStream, orders: Orders) -> None:
        try:
            await stdin.send_all(orders.to_json().encode() + b"\n")  # not as an argument: headers may hold secrets
        except trio.BrokenResourceError:
            log.debug("the exporter of traces ended before it was told anything")  # its exit code is said

    async def _dismiss(self, process: trio.Process, leave: trio.Event) -> None:
        """Once another is wanted, or none: the end of its standard input tells it."""
        await leave.wait()
        assert process.stdin is not None
        await process.stdin.aclose()
        await trio.sleep(LEAVE_SECONDS)
        log.warning("exporter of traces did not end in time, killed", pid=process.pid)
        process.kill()

    async def _listen(self, process: trio.Process, orders: Orders) -> None:
        """Hear what became of spans, until the process ends."""
        tally = Tally()
        self._tallies.append(tally)
        assert process.stdout is not None
        rest = b""
        async for piece in process.stdout:
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                for name, value in json.loads(line).items():
                    setattr(tally, name, value)
                self._say(tally, orders)

    def _say(self, tally: Tally, orders: Orders) -> None:
        was, self._error = self._error, tally.error
        if tally.error and not was:
            log.warning(
                "traces cannot be exported, traffic goes on without", endpoint=orders.endpoint, error=tally.error
            )
        elif was and not tally.error:
            facts = self.facts()
            log.info("traces are exported again", endpoint=orders.endpoint, spans_lost=facts.failed + facts.dropped)
