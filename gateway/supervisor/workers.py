"""The worker processes: started, listened to, watched, replaced, drained.

One slot per worker, numbered from 0; the number is also its row in the ledger and stays with the
slot over restarts, as does its eventfd. `resize` adds slots, which get their share of the listening sockets once they
are ready, or drains those with the highest numbers, whose sockets the others take over first. Every process
leads a process group of its own, so that a Ctrl-C in the terminal reaches the supervisor alone.

    starting --READY--> serving --drain()--> draining --> gone
        \\__________________/___ death ___> restarting (back-off) --> starting

A death is final only with `process.wait()`; the row is retired in the same breath, so that
requests the dead worker had in flight stop to count. The control socket's end of file says
nothing by itself: a worker that closed it and lives on is caught by its heartbeat.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Sequence

import structlog
import trio

from gateway.admin.facts import WorkerFacts
from gateway.control import MESSAGE_BYTES, Tell, WorkerSpec, decode_message, encode_message
from gateway.handover.sockets import orphan_name
from gateway.shm.layout import L_ROWS
from gateway.shm.ledger import Ledger
from gateway.supervisor.heartbeats import watch_heartbeats
from gateway.supervisor.listeners import Listeners
from gateway.supervisor.restart import CANNOT_SPAWN, Halt, Patience, RestartPolicy, describe_exit
from gateway.supervisor.slot import MALLOC, Slot, new_slot, worker_command
from healthcheck.model import Target

log = structlog.get_logger(__name__)


class WorkerPool:
    """All workers of one gateway. `run` is called once; everything else is synchronous."""

    def __init__(
        self,
        workers: int,
        *,
        listeners: Listeners,
        group: str,
        board: int,
        ledger_fd: int,
        stories_fd: int,
        ledger: Ledger,
        spans: int,
        drain_timeout: Callable[[], float],
        on_change: Callable[[], None],
        on_ejection: Callable[[Target, str, bool], None],
        command: Callable[[WorkerSpec], Sequence[str]] = worker_command,
        patience: Patience | None = None,
    ) -> None:
        """`group`: see `gateway.handover.sockets`; `board` and what ends in `_fd` are descriptors.

        `on_change` is called after any worker changed its state, `on_ejection` when a worker ejected an instance or
        took it back, with its words and whether the ejection is over.
        """
        self._listeners = listeners
        self._group = group
        self._board = board
        self._ledger_fd, self._stories_fd, self._spans = ledger_fd, stories_fd, spans
        self._ledger = ledger
        self._drain_timeout = drain_timeout
        self._on_change = on_change
        self._on_ejection = on_ejection
        self._command = command
        self._patience = patience or Patience()
        self._policy = RestartPolicy()
        self._slots = [new_slot(n) for n in range(workers)]
        self._ledger.use(workers)
        self._stopping = trio.Event()
        self._is_killing = False
        self._is_replaced = False
        self._halted = ""
        self._scope = trio.CancelScope()
        self._keepers: trio.Nursery | None = None  # of a task for each slot, while `run` runs

    # --- what is known ---------------------------------------------------------------------
    @property
    def is_ready(self) -> bool:
        """Every worker accepts connections."""
        return not self.unready()

    def unready(self) -> list[tuple[int, str]]:
        """Number and state of the workers that should serve and do not."""
        return [(each.number, each.state) for each in self._members() if each.state != "serving"]

    def _members(self) -> list[Slot]:
        """Those who have a share of the listening sockets."""
        return [slot for slot in self._slots if not slot.is_new and not slot.is_leaving]

    @property
    def is_serving(self) -> bool:
        """Some worker accepts connections."""
        return any(slot.state == "serving" for slot in self._slots)

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    def facts(self) -> tuple[WorkerFacts, ...]:
        return tuple(
            WorkerFacts(
                each.number, each.process.pid if each.process else 0, each.state, each.restarts, each.started_at
            )
            for each in self._slots
        )

    # --- what may be asked of it -----------------------------------------------------------
    def wake(self) -> None:
        """Tell every worker that a new snapshot is on the board."""
        for slot in self._slots:
            slot.notify()

    def reopen_logs(self) -> None:
        """Every worker opens its access log anew."""
        for slot in self._slots:
            self._tell(slot, Tell.REOPEN_LOG)

    def refute(self, target: Target, since: float, detail: str) -> None:
        """Tell every worker that a probe that began at `since` (CLOCK_MONOTONIC, seconds) succeeded."""
        for slot in self._slots:
            if slot.state == "serving":
                self._tell(
                    slot, Tell.REFUTE, service=target.service, instance=target.address, since=since, detail=detail
                )

    def resize(self, workers: int) -> None:
        """Have so many workers from now on, who accept from what is listened on now."""
        if self._keepers is None:  # none has begun
            for slot in self._slots:
                slot.close()
            self._slots[:] = [new_slot(n) for n in range(workers)]
            self._listeners.workers = workers
            self._ledger.use(workers)
            return
        staying = [slot for slot in self._slots if not slot.is_leaving]
        for slot in staying[workers:]:
            slot.is_leaving = True
        for _ in range(workers - len(staying)):
            number = min(set(range(len(self._slots) + 1)) - {slot.number for slot in self._slots})
            slot = new_slot(number)
            slot.is_new = True
            self._slots.append(slot)
            self._slots.sort(key=lambda each: each.number)
            self._keepers.start_soon(self._keep, slot)
        self._ledger.use(self._slots[-1].number + 1)  # before a new one counts anything
        self._share_out()
        for slot in staying[workers:]:
            self._drain_slot(slot)
            self._watchers.start_soon(self._end_in_time, slot)
        self._on_change()

    def _share_out(self) -> None:
        """Tell every worker which listening sockets are its own."""
        if self._stopping.is_set():
            return
        members = self._members()
        self._listeners.workers = len(members)
        for position, slot in enumerate(members):
            fds = self._listeners.for_worker(position)
            shared = self._listeners.shared
            self._tell(slot, Tell.LISTEN, fds, shared="".join("01"[fd in shared] for fd in fds))

    def _forget(self, slot: Slot) -> None:
        """A worker too many has gone."""
        self._slots.remove(slot)
        slot.close()
        self._ledger.use(self._slots[-1].number + 1)
        self._on_change()

    def drain(self, *, is_replaced: bool = False) -> None:
        """No more accepting; finish what is in flight, at most for the drain timeout; no more restarts.

        `is_replaced`: another gateway takes the connections from now on, from the same sockets.
        """

        if self._stopping.is_set():
            return
        self._stopping.set()
        self._is_replaced = is_replaced
        # The workers' copies alone remain, each closed once its queue is served: a listening socket that stayed
        # open here would take connections that nobody answers.
        self._listeners.close()
        for slot in self._slots:
            self._drain_slot(slot)
        self._on_change()

    def stop_now(self) -> None:
        """Kill every worker, whatever it does."""
        self._stopping.set()
        self._is_killing = True
        for slot in self._slots:
            if slot.process is not None:
                slot.process.kill()

    # --- running ---------------------------------------------------------------------------
    async def run(self) -> str:
        """Keep all workers alive until `drain` or `stop_now` has ended them all.

        Returns "" then, or why the pool gave up. Cancellation kills the workers and reaps them.
        """
        try:
            async with trio.open_nursery() as self._watchers:
                self._watchers.start_soon(watch_heartbeats, self._slots, self._ledger, self._patience)
                self._watchers.start_soon(self._enforce_drain_timeout)
                with self._scope:
                    async with trio.open_nursery() as self._keepers:
                        for slot in self._slots:
                            self._keepers.start_soon(self._keep, slot)
                self._watchers.cancel_scope.cancel()
        finally:
            for slot in self._slots:
                slot.close()
        return self._halted

    async def _keep(self, slot: Slot) -> None:
        await self._keep_alive(slot)
        if slot.is_leaving and not self._stopping.is_set():
            self._forget(slot)

    async def _keep_alive(self, slot: Slot) -> None:
        while not self._stopping.is_set() and not slot.is_leaving:
            returncode = await self._live(slot)
            how = describe_exit(returncode, is_ours=slot.aborted or self._is_killing)
            if self._stopping.is_set() or slot.is_leaving:
                if returncode != 0:
                    log.warning("worker ended badly while stopping", worker=slot.number, how=how)
                return
            decision = self._policy.on_death(slot.number, returncode, time.monotonic())
            if isinstance(decision, Halt):
                self._halted = decision.message
                self._scope.cancel()
                return
            log.error(
                "worker died",
                worker=slot.number,
                how=how,
                restarts=slot.restarts,
                restart_in=decision.delay,
            )
            slot.restarts += 1
            slot.state = "restarting"
            self._on_change()
            with trio.move_on_after(decision.delay):
                await self._stopping.wait()

    async def _live(self, slot: Slot) -> int:
        """One process from start to end; returns its exit code as `subprocess` gives it."""
        self._policy.on_start(slot.number, time.monotonic())
        slot.started_at, slot.started_ns, slot.aborted = time.time(), time.monotonic_ns(), False
        try:
            slot.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            log.error("worker cannot be started", worker=slot.number, error=str(error))
            return CANNOT_SPAWN
        try:
            slot.control.setblocking(False)
            slot.process = await self._spawn(slot, theirs)
            if slot.process is None:
                return CANNOT_SPAWN
            slot.state = "starting"
            self._on_change()
            if self._is_killing:
                slot.process.kill()
            elif self._stopping.is_set() or slot.is_leaving:
                self._drain_slot(slot)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._listen, slot, slot.control)
                returncode = await slot.process.wait()
                nursery.cancel_scope.cancel()
            self._hear(slot, slot.control)  # its last words
            return returncode
        finally:
            if slot.process is not None and slot.process.returncode is None:
                slot.process.kill()
                with trio.CancelScope(shield=True):
                    await slot.process.wait()
            slot.process = None
            slot.control.close()
            slot.control = None
            self._ledger.retire(slot.number)

    async def _spawn(self, slot: Slot, theirs: socket.socket) -> trio.Process | None:
        if self._stopping.is_set():  # the listening sockets are closed already
            theirs.close()
            return None
        members = self._members()
        place = members.index(slot) if slot in members else None
        try:
            with theirs, self._listeners.copies(place) as (listeners, shared):
                spec = WorkerSpec(
                    worker=slot.number,
                    rows=self._ledger.words[L_ROWS],
                    listeners=listeners,
                    shared=shared,
                    board=self._board,
                    ledger=self._ledger_fd,
                    stories=self._stories_fd,
                    wake=slot.wake,
                    control=theirs.fileno(),
                    orphan_name=orphan_name(self._group, slot.number),
                    spans=self._spans,
                )
                return await trio.lowlevel.open_process(
                    self._command(spec),
                    stdin=subprocess.DEVNULL,
                    pass_fds=spec.descriptors,
                    process_group=0,
                    env=MALLOC | os.environ,
                )
        except OSError as error:
            log.error("worker cannot be started", worker=slot.number, error=str(error))
            return None

    # --- the control socket ----------------------------------------------------------------
    async def _listen(self, slot: Slot, control: socket.socket) -> None:
        """Hear what the worker says until it closes its end."""
        while self._hear(slot, control):
            await trio.lowlevel.wait_readable(control)

    def _hear(self, slot: Slot, control: socket.socket) -> bool:
        """Handle every message that is there now; False at end of file."""
        while True:
            try:
                packet = control.recv(MESSAGE_BYTES)
            except BlockingIOError:
                return True
            except ConnectionResetError:
                return False
            if not packet:
                return False
            try:
                tell, fields = decode_message(packet)
            except ValueError:
                log.warning("worker sent an unknown message", worker=slot.number, message=packet[:200])
                continue
            self._on_message(slot, tell, fields)

    def _on_message(self, slot: Slot, tell: Tell, fields: dict[str, object]) -> None:
        if tell is Tell.READY:
            self._policy.on_ready(slot.number)
            if slot.state == "starting":
                slot.state = "serving"
            if slot.is_new:
                slot.is_new = False
                self._share_out()
            self._on_change()
        elif tell is Tell.EJECTION:
            target = Target(str(fields.get("service")), str(fields.get("instance")))
            is_over = fields.get("is_over") is True
            self._on_ejection(target, f"{fields.get('detail')} (worker {slot.number})", is_over)
        elif tell is Tell.LOG:
            level, event = str(fields.pop("level", "info")), str(fields.pop("event", ""))
            more = fields.pop("fields", {})
            known = more if isinstance(more, dict) else {"fields": more}
            write = {"debug": log.debug, "warning": log.warning, "error": log.error}.get(level, log.info)
            pid = slot.process.pid if slot.process else 0
            write(event, **{**fields, **known, "worker": slot.number, "worker_pid": pid})
        else:
            log.warning("worker sent a message that only the supervisor may send", worker=slot.number, tell=tell)

    def _tell(self, slot: Slot, tell: Tell, fds: Sequence[int] = (), **fields: object) -> None:
        if slot.control is None:
            return  # between two processes: the next one starts afresh
        try:
            socket.send_fds(slot.control, [encode_message(tell, **fields)], list(fds))
        except (BlockingIOError, BrokenPipeError, ConnectionResetError) as error:
            # Dying, or stuck with its buffer full: its end or its heartbeat will tell.
            log.warning("worker does not take messages", worker=slot.number, tell=tell, error=str(error))

    def _drain_slot(self, slot: Slot) -> None:
        if slot.process is not None:
            slot.state = "draining"
            self._tell(slot, Tell.DRAIN, is_replaced=self._is_replaced)

    # --- deadlines -------------------------------------------------------------------------
    async def _enforce_drain_timeout(self) -> None:
        await self._stopping.wait()
        async with trio.open_nursery() as nursery:
            for slot in self._slots:
                nursery.start_soon(self._end_in_time, slot)

    async def _end_in_time(self, slot: Slot) -> None:
        # The worker ends its own drain at the timeout; the second more is for its exit.
        await trio.sleep(self._drain_timeout() + 1.0)
        if slot.process is not None:
            log.warning("worker did not finish its drain in time, killed", worker=slot.number)
            slot.process.kill()
