"""The supervisor: puts its parts together and runs them until the last worker is gone. Wiring only.

Start: bind everything, publish the first snapshot, then the admin interface, then sources, probes
and workers. A gateway that takes over from another one starts its workers once its sources have
answered and what nobody has probed is probed, and has the admin interface once they serve.
End: when the pool of workers has ended, everything else is cancelled. Shared memories have no names
and workers notice the end of their control socket, so that whatever kills this process leaves
nothing behind.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import structlog
import trio

from discovery.consul_sd.errors import ConsulError
from discovery.source import Emit, Event, SourceState
from gateway import log as gateway_log
from gateway.admin import guard, server
from gateway.admin.facts import Access, Facts
from gateway.config.describe import describe
from gateway.config.load import ConfigError, Loaded
from gateway.handover.messages import HandoverError
from gateway.handover.sockets import new_group
from gateway.shm import memory, rings
from gateway.shm.board import BoardWriter, board_bytes
from gateway.shm.layout import MAX_WORKERS
from gateway.shm.ledger import Ledger, ledger_bytes
from gateway.shm.storybook import StoryBook
from gateway.supervisor import activation, heritage, takeover
from gateway.supervisor.discovery import Discovery
from gateway.supervisor.facade import Gateway
from gateway.supervisor.file_limit import raise_file_limit
from gateway.supervisor.fixed import needs_restart
from gateway.supervisor.garbage import collect_garbage
from gateway.supervisor.listeners import ListenError, Listeners, open_listeners
from gateway.supervisor.notify import Notifier
from gateway.supervisor.offering import Admin, Offering
from gateway.supervisor.publisher import Publisher
from gateway.supervisor.registration import registration_key, self_registration
from gateway.supervisor.registry import Registry
from gateway.supervisor.reload import Reloader, usable
from gateway.supervisor.sampler import Sampler
from gateway.supervisor.shutdown import Shutdown
from gateway.supervisor.signals import watch_signals
from gateway.supervisor.takeover import Takeover
from gateway.supervisor.tracing import TraceExport, orders_of
from gateway.supervisor.upgrade import Upgrader, successor_command
from gateway.supervisor.wall import Wall
from gateway.supervisor.watch import LedgerWatch
from gateway.supervisor.workers import WorkerPool
from healthcheck.agent import HealthAgent
from healthcheck.model import Target, Transition, Verdict

log = structlog.get_logger(__name__)


class GatewayFailed(Exception):
    """The gateway cannot start, or cannot go on; the text is a sentence for a person."""


def configure_log(loaded: Loaded) -> None:
    """Set the supervisor's log up as the configuration says."""
    gateway_log.configure(loaded.log.level, "console" if loaded.log.format == "console" else "json")


async def run(
    loaded: Loaded,
    *,
    reload: Callable[[], Loaded],
    on_ready: Callable[[Facts, str], None],
    replace: bool = False,
    predecessor: str = "",
) -> int:
    """Run the gateway until it is told to stop; returns the exit code.

    `reload` reads the configuration again; `on_ready` is called once, when every worker accepts
    connections, with the facts and the admin address, and before a gateway that is replaced is told to drain.
    `replace` whoever listens where this gateway is to listen; `predecessor`: the one of that name, whatever it
    listens on. Raises GatewayFailed.
    """
    raise_file_limit(loaded.limits.connections)
    asked = loaded.gateway
    try:
        taken = takeover.find(asked.listen, asked.admin, replace=replace, named=predecessor)
    except HandoverError as error:
        raise GatewayFailed(f"the running gateway is not replaced, and goes on: {error}") from error
    try:
        passed = activation.match(activation.take_passed(os.environ, os.getpid()), asked.listen)
        listeners = open_listeners(asked.listen, asked.workers, taken.adopted() if taken else passed)
    except ListenError as error:
        taken.close()
        raise GatewayFailed(str(error)) from error
    admin = taken.admin(asked.admin)
    taken.close_unwanted(listeners)
    try:
        return await Supervisor(loaded, listeners, reload, on_ready, taken, admin).run()
    finally:
        listeners.close()
        taken.close()


class Supervisor:
    """All parts of one gateway, and what passes between them."""

    def __init__(
        self,
        loaded: Loaded,
        listeners: Listeners,
        reload: Callable[[], Loaded],
        on_ready: Callable[[Facts, str], None],
        taken: Takeover,
        admin: socket.socket | None,
    ) -> None:
        """`taken`: who is replaced; `admin`: the admin interface's listening socket, if that is taken over."""
        workers = loaded.gateway.workers
        self._loaded = loaded
        self._started_with = loaded
        self._on_ready = on_ready
        self._taken = taken
        self._group = group = new_group()
        self._admin = admin
        self._admin_end = trio.Event()
        self._admin_over = trio.Event()
        self._failure = ""
        self._board_fd = memory.create("gw-board", board_bytes())
        self._listeners = listeners
        self._ledger_fd = memory.create("gw-ledger", ledger_bytes(MAX_WORKERS))
        self._ledger = Ledger.initialise(memory.attach(self._ledger_fd, writable=True), MAX_WORKERS)
        self._stories_fd = memory.create("gw-stories", rings.rings_bytes(MAX_WORKERS))
        self._stories = StoryBook.initialise(memory.attach(self._stories_fd, writable=True), MAX_WORKERS, workers)
        wall = Wall()
        self._registry = Registry(wall=wall)
        self._registry.inherit(taken.heritage())
        self._agent = HealthAgent(self._on_transition, self._on_verdict, self._on_trouble, recall=self._registry.health)
        self._discovery = _discovery(loaded, self._on_event, self._on_source_end)
        self._traces = TraceExport(orders_of(loaded))
        self._pool = WorkerPool(
            workers,
            listeners=listeners,
            group=group,
            board=self._board_fd,
            ledger_fd=self._ledger_fd,
            stories_fd=self._stories_fd,
            ledger=self._ledger,
            spans=self._traces.inlet,
            drain_timeout=lambda: self._loaded.gateway.drain_timeout,
            on_change=self._on_workers,
            on_ejection=self._on_ejection,
        )
        self._publisher = Publisher(
            self._registry,
            BoardWriter(memory.attach(self._board_fd, writable=True)),
            self._on_published,
            self._agent.reconcile,
            self._discovery.want,
        )
        self._watch = LedgerWatch(self._ledger, self._registry, self._publisher, self._pool.refute)
        self._notifier = Notifier(os.environ, os.getpid())
        self._sampler = Sampler(self._ledger, self._registry, self._publisher)
        self._reloader = Reloader(lambda: usable(reload()), self._apply, self._notifier.reloading, self._on_reloaded)
        self._shutdown = Shutdown(lambda: self._loaded.gateway.shutdown_delay, self._pool.drain)
        self._upgrader = Upgrader(group, successor_command(sys.orig_argv))
        self._gateway = Gateway(
            name=lambda: self._loaded.gateway.name,
            config_file=loaded.file,
            listen=lambda: listeners.addresses,
            sources=self._discovery.awaited,
            ledger=self._ledger,
            stories=self._stories,
            registry=self._registry,
            publisher=self._publisher,
            pool=self._pool,
            reloader=self._reloader,
            shutdown=self._shutdown,
            notifier=self._notifier,
            trouble=lambda: self._agent.trouble,
            traces=self._traces.facts,
            config=lambda: describe(self._loaded, self._started_with),
            exposure=self._exposure,
            access=self._access,
            series=self._sampler.series,
            wall=wall,
            on_serving=self._on_serving,
            on_drain=self._on_drain,
            on_upgrade=self._upgrader.request,
            stop_seconds=self._stop_seconds,
        )
        self._registration = self_registration(loaded, listeners.addresses[0], lambda: not self._gateway.not_ready())
        self._is_serving = trio.Event()

    async def run(self) -> int:
        """See `run` of this module."""
        self._registry.apply_config(self._loaded.services, self._loaded.routes, self._loaded.worker_settings())
        self._publisher.publish()  # before any worker looks
        async with trio.open_nursery() as nursery:
            await nursery.start(watch_signals, self._gateway)
            if await self._open_admin():
                if not self._taken:
                    await self._lead(nursery)
                parts = (self._publisher.run, self._agent.run, self._discovery.run, self._reloader.run, self._watch.run)
                for run in (*parts, self._shutdown.run, self._sampler.run, self._upgrader.run, self._traces.run):
                    nursery.start_soon(run)
                nursery.start_soon(self._notifier.run_watchdog, lambda: self._pool.is_stopping or self._pool.is_serving)
                nursery.start_soon(self._after_start, nursery)
                self._failure = await self._wait_informed() or await self._pool.run()
                await self._traces.finish()
                if self._admin_end.is_set():
                    await self._admin_over.wait()
            nursery.cancel_scope.cancel()
        os.close(self._board_fd)
        os.close(self._ledger_fd)
        os.close(self._stories_fd)
        if self._admin is not None:
            self._admin.close()
        if self._failure:
            raise GatewayFailed(self._failure)
        log.info("stopped")
        return 0

    # --- the start -------------------------------------------------------------------------
    async def _open_admin(self) -> bool:
        """The admin interface's listening socket, unless it was taken over."""
        try:
            self._admin = self._admin or await server.listen(self._loaded.gateway.admin)
        except server.AdminBindError as error:
            self._failure = str(error)
        else:
            self._warn_of_exposure()
        return not self._failure

    def _access(self) -> Access:
        return Access(self._loaded.gateway.admin_write, self._loaded.gateway.admin_token)

    def _exposure(self) -> str:
        return guard.exposure(server.address_of(self._admin), self._access()) if self._admin else ""

    def _warn_of_exposure(self) -> None:
        if exposure := self._exposure():
            log.warning("anybody who reaches the admin address may operate this gateway", detail=exposure)

    async def _wait_informed(self) -> str:
        """Until this gateway can serve as well as one that it takes over from; why it cannot, else ""."""
        if not self._taken:
            return ""
        failure = await takeover.wait_informed(self._gateway.uninformed, self._registry, self._pool)
        if not failure:
            self._gateway.join()
        return failure if self._taken.running else ""  # nobody else would go on

    async def _after_start(self, nursery: trio.Nursery) -> None:
        """What begins once every worker accepts connections."""
        await self._is_serving.wait()
        nursery.start_soon(collect_garbage)
        if self._taken:
            last = await trio.to_thread.run_sync(self._taken.complete, self._registration_key())
            if last is not None:
                self._registry.inherit(last)
                self._publisher.on_change()
            await self._lead(nursery)
        if self._registration is not None:
            nursery.start_soon(self._registration.run)
        assert self._admin is not None
        admin = Admin(self._started_with.gateway.admin, server.address_of(self._admin), self._admin)
        await Offering(
            self._group,
            self._listeners,
            admin,
            state=lambda: heritage.encode(self._registry.bequeath(time.monotonic())),
            is_stopping=lambda: self._pool.is_stopping,
            on_replaced=self._on_replaced,
        ).run()

    async def _lead(self, nursery: trio.Nursery) -> None:
        """From now on this is the gateway that is operated, and that writes the files."""
        assert self._admin is not None
        await nursery.start(self._serve_admin, self._admin.dup())
        self._discovery.pen.take()

    async def _serve_admin(self, listener: socket.socket, *, task_status: trio.TaskStatus[str]) -> None:
        await server.serve(self._gateway, listener, shutdown=self._admin_end, task_status=task_status)
        self._admin_over.set()

    def _registration_key(self) -> list[str]:
        return registration_key(self._started_with, self._listeners.addresses[0])

    # --- what the parts tell ---------------------------------------------------------------
    def _on_event(self, event: Event) -> None:
        if isinstance(event, SourceState):
            before = self._registry.sources.get(event.source)
            if event.is_restored and before is None:
                log.info("what was known before the restart is used, once probed", source=event.source)
            elif event.stale and (
                before is None or not before.stale or (before.is_restored and event.error != before.error)
            ):
                log.warning("discovery is stale, what is known stays in use", source=event.source, error=event.error)
            elif before and before.stale and not event.stale:
                log.info("discovery is fresh again", source=event.source)
        self._registry.apply_event(event)
        self._publisher.on_change()
        self._gateway.review()

    def _on_source_end(self, source: str) -> None:
        self._registry.forget_source(source)
        self._publisher.on_change()
        self._gateway.review()

    def _on_transition(self, transition: Transition) -> None:
        self._registry.apply_transition(transition, time.monotonic())
        self._publisher.on_change()

    def _on_verdict(self, target: Target, verdict: Verdict) -> None:
        self._watch.on_verdict(target, verdict)

    def _on_trouble(self, trouble: str) -> None:
        if trouble:
            log.error("health checks are in trouble", detail=trouble)
        else:
            log.info("health checks are out of trouble")

    def _on_ejection(self, target: Target, detail: str, is_over: bool) -> None:
        self._watch.on_ejection(target, detail, is_over)

    def _on_workers(self) -> None:
        self._stories.use(self._ledger.rows)
        self._gateway.review()

    def _on_published(self) -> None:
        self._pool.wake()
        self._gateway.review()

    def _on_drain(self) -> None:
        if self._registration is not None:
            self._registration.withdraw()

    def _stop_seconds(self) -> float:
        """How long a stop may take: the delay, the drain, and a moment for everything else."""
        return self._loaded.gateway.shutdown_delay + self._loaded.gateway.drain_timeout + 5.0

    def _on_reloaded(self, failure: str) -> None:
        self._notifier.ready(failure or self._gateway.summary())

    def _on_serving(self) -> None:
        assert self._admin is not None
        # The service manager has to know of a successor before the process that it replaces ends.
        self._on_ready(self._gateway.facts(), server.address_of(self._admin))
        self._is_serving.set()

    def _on_replaced(self, pid: int, fields: dict[str, Any]) -> None:
        """Another gateway serves from the same sockets: files, admin interface and Consul's entry are its own now."""
        log.info("replaced by a new gateway, draining", successor_pid=pid)
        self._notifier.main_pid(pid)
        self._discovery.pen.give_up()
        self._admin_end.set()
        if self._registration is not None:
            is_same = fields.get("registration") == self._registration_key()
            leave = self._registration.release if is_same else self._registration.withdraw
            leave()
        self._gateway.give_way()

    # --- a new configuration ---------------------------------------------------------------
    def _apply(self, loaded: Loaded) -> tuple[str, ...]:
        """Put a configuration in force; returns the keys that need a restart. Raises ConfigError if it cannot be."""
        asked, had = loaded.gateway, self._loaded.gateway
        if (asked.listen, asked.workers) != (had.listen, had.workers) and not self._pool.is_stopping:
            try:
                self._listeners.change(asked.listen, asked.workers)
            except ListenError as error:
                raise ConfigError([f"gateway.listen: {error}"]) from error
            self._pool.resize(asked.workers)
            log.info("listening and working as configured", listen=self._listeners.addresses, workers=asked.workers)
        if (loaded.log.level, loaded.log.format) != (self._loaded.log.level, self._loaded.log.format):
            configure_log(loaded)
        self._loaded = loaded
        self._warn_of_exposure()
        self._registry.apply_config(loaded.services, loaded.routes, loaded.worker_settings())
        self._discovery.configure(loaded.consul)
        self._traces.configure(orders_of(loaded))
        self._pool.reopen_logs()  # whoever rotates logs may reload instead of sending SIGUSR1
        self._publisher.on_change()
        return needs_restart(self._started_with, loaded)


def _discovery(loaded: Loaded, emit: Emit, on_end: Callable[[str], None]) -> Discovery:
    try:
        return Discovery(loaded.consul, loaded.services, emit, on_end, dns=loaded.dns, gateway=loaded.gateway.name)
    except ConsulError as error:
        raise GatewayFailed(str(error)) from error
