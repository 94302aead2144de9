"""The gateway as its operators see it: what it knows of itself, and what may be asked of it.

Signals and the admin interface both end here. Ready is what `/ready` says on either address: every
worker accepts connections, every source of instances has answered once (or what it said before
the gateway's restart has been probed), and nothing is draining.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version

import structlog
import trio

from discovery.consul_sd.names import CONSUL
from discovery.model import Origin, OriginKind, Problem
from gateway.admin.explanation import Asked, Explained
from gateway.admin.facts import Access, Facts, Progress, Pulse, ServiceFigures, TraceFacts
from gateway.admin.series import Series
from gateway.config.describe import Config
from gateway.shm.ledger import Ledger
from gateway.shm.storybook import StoryBook
from gateway.supervisor.explain import Known, explain
from gateway.supervisor.notify import Notifier
from gateway.supervisor.publisher import Publisher
from gateway.supervisor.registry import Registry
from gateway.supervisor.reload import Reloader
from gateway.supervisor.shutdown import Shutdown
from gateway.supervisor.workers import WorkerPool

log = structlog.get_logger(__name__)


class Gateway:
    """Implements `gateway.admin.facts.Facade` and `signals.Obeys`."""

    def __init__(
        self,
        *,
        name: Callable[[], str],
        config_file: str,
        listen: Callable[[], Sequence[str]],
        sources: Callable[[], Sequence[str]],
        ledger: Ledger,
        stories: StoryBook,
        registry: Registry,
        publisher: Publisher,
        pool: WorkerPool,
        reloader: Reloader,
        shutdown: Shutdown,
        notifier: Notifier,
        trouble: Callable[[], str],
        traces: Callable[[], TraceFacts],
        config: Callable[[], Config],
        exposure: Callable[[], str],
        access: Callable[[], Access],
        series: Series,
        wall: Callable[[], float],
        on_serving: Callable[[], None],
        on_drain: Callable[[], None],
        on_upgrade: Callable[[], None],
        stop_seconds: Callable[[], float],
    ) -> None:
        """`sources` names those that must answer; `trouble`: what is wrong with health checks as a whole; `exposure`:
        what is dangerous about the admin address; `access`: who may operate, as configured now. `on_serving` is called
        once, when every worker accepts, `on_drain` when the gateway begins to stop, which takes at most `stop_seconds`,
        `on_upgrade` when a new gateway shall replace this one."""
        self._name = name
        self._config_file = config_file
        self._listen = listen
        self._sources = sources
        self._ledger = ledger
        self._stories = stories
        self._registry = registry
        self._publisher = publisher
        self._pool = pool
        self._reloader = reloader
        self._shutdown = shutdown
        self._notifier = notifier
        self._trouble = trouble
        self._traces = traces
        self._config = config
        self._exposure = exposure
        self._access = access
        self.series = series
        self._on_serving = on_serving
        self._on_drain = on_drain
        self._on_upgrade = on_upgrade
        self._is_joining = False
        self._is_replaced = False
        self._stop_seconds = stop_seconds
        self._has_served = False
        self._version = version("gw")
        self._wall = wall
        self._started = time.monotonic()

    @property
    def ledger(self) -> Ledger:
        return self._ledger

    @property
    def access(self) -> Access:
        return self._access()

    @property
    def stories(self) -> StoryBook:
        return self._stories

    def facts(self) -> Facts:
        return replace(self.overview(), services=self._registry.service_facts(self._ledger.in_flight))

    def figures(self) -> tuple[ServiceFigures, ...]:
        return self._registry.service_figures()

    def overview(self) -> Facts:
        not_ready, traces = self.not_ready(), self._traces()
        unsent = f"spans are not exported: {traces.error}" if traces.error else ""
        own = (("health checks", self._trouble()), ("admin interface", self._exposure()), ("tracing", unsent))
        common = tuple(Problem(Origin(OriginKind.GATEWAY, part), text) for part, text in own if text)
        return Facts(
            name=self._name(),
            version=self._version,
            config_file=self._config_file,
            listen=tuple(self._listen()),
            started_at=self._started + self._wall(),
            generation=self._publisher.generation,
            ready=not not_ready,
            not_ready=not_ready,
            draining=self._shutdown.is_requested,
            workers=self._pool.facts(),
            services=(),
            routes=self._registry.route_facts(),
            discovery=tuple(self._registry.sources.values()),
            reloads=self._reloader.facts,
            problems=(*common, *self._registry.problems, *self._publisher.problems),
            traces=traces,
        )

    def progress(self, service: str) -> Progress:
        not_ready = self.not_ready()
        return Progress(
            generation=self._publisher.generation,
            ready=not not_ready,
            not_ready=not_ready,
            draining=self._shutdown.is_requested,
            workers=self._pool.facts(),
            service=self._registry.one_service(service, self._ledger.in_flight),
            services=tuple(self._registry.declare()),
        )

    def config(self) -> Config:
        return self._config()

    def pulse(self) -> Pulse:
        return Pulse(self._name(), self._version, self.not_ready(), self._shutdown.is_requested)

    def not_ready(self) -> tuple[str, ...]:
        """Why `/ready` is 503, in plain words; nothing: it is 200."""
        if self._is_replaced:
            return ()  # whoever still asks here means the addresses, and those are served
        if self._shutdown.is_requested:
            return ("the gateway is draining",)
        workers = (f"worker {number} is {state}" for number, state in self._pool.unready())
        return (*workers, *self.uninformed())

    def uninformed(self) -> tuple[str, ...]:
        """Which sources of instances have not had their first answer, in plain words."""
        return tuple(reason for name in self._sources() if (reason := self._unanswered(name)))

    def _unanswered(self, source: str) -> str:
        """Why a source has not had its first answer; "" once it has."""
        state = self._registry.sources.get(source)
        if state is None:
            return f"{source} has not answered yet"
        if state.is_restored and source == CONSUL:
            waits = "what it said before the restart is not probed yet"
            return f"{source} has not answered yet, and {waits}" if self._registry.is_unprobed else ""
        # A host name that does not resolve, or another datacenter that does not answer, costs its services only.
        if source != CONSUL or not state.stale or state.last_success is not None:
            return ""
        return f"{source} has not answered yet: {state.error}"

    def review(self) -> None:
        """Workers or sources changed: is the gateway ready now, or no longer?"""
        if self._is_replaced:
            return  # whoever asks here is served by another one
        is_ready = not self.not_ready()
        is_joining = self._is_joining and not self._has_served and not self._pool.is_stopping
        if not is_joining and self._registry.set_ready(is_ready):
            log.info("ready" if is_ready else "not ready", reasons=self.not_ready())
            self._publisher.on_change()
        if self._pool.is_ready and not self._has_served:
            self._has_served = True
            self._on_serving()
            self._notifier.ready(self.summary())
        elif self._has_served:
            self._notifier.status(self.summary())

    def summary(self) -> str:
        """One line on how it is."""
        if self._shutdown.is_requested:
            return "draining"
        serving = sum(each.state == "serving" for each in self._pool.facts())
        state = "; ".join(self.not_ready())
        return f"{serving} workers on {', '.join(self._listen())}, {f'not ready: {state}' if state else 'ready'}"

    # --- what may be asked -----------------------------------------------------------------
    async def reload(self) -> tuple[str, ...]:
        needs_restart = await self._reloader.reload()
        self._publisher.publish()  # at once: whoever asked is told the generation
        return needs_restart

    def request_reload(self) -> None:
        self._reloader.request()

    def reopen_logs(self) -> None:
        self._pool.reopen_logs()

    def drain_instance(self, service: str, address: str, by: str) -> bool:
        changed = self._registry.drain(service, address, by, time.monotonic())
        self._publisher.publish()  # at once: whoever asked is told the generation
        return changed

    def undrain_instance(self, service: str, address: str, by: str) -> bool:
        changed = self._registry.undrain(service, address, by)
        self._publisher.publish()
        return changed

    async def explain(self, asked: Asked) -> Explained:
        snapshot = self._publisher.snapshot
        assert snapshot is not None  # the first is published before anybody may ask
        known = Known(
            snapshot=snapshot,
            services=self._registry.service_facts(self._ledger.in_flight),
            origin_of=self._registry.route_origin,
            in_flight=self._ledger.in_flight,
            listen=self._listen()[0],
            now=time.monotonic(),
        )
        # Thousands of routes take a while to compile: not in the loop that times probes.
        return await trio.to_thread.run_sync(explain, asked, known)

    def drain(self) -> None:
        if self._shutdown.is_requested:
            return
        log.info("draining")
        self._shutdown.request()
        self._notifier.stopping(self._stop_seconds(), self.summary())
        self.review()
        self._publisher.publish()  # at once: whoever asks a worker's /ready is told
        self._on_drain()

    def join(self) -> None:
        """Workers begin beside those of a gateway that is replaced: the listen address has been ready all the time."""
        self._is_joining = True
        self._registry.set_ready(True)
        self._publisher.publish()

    def give_way(self) -> None:
        """Another gateway has taken the connections: drain, without a word to clients that this one ends."""
        self._is_replaced = True
        self._pool.drain(is_replaced=True)

    def upgrade(self) -> None:
        self._on_upgrade()

    def down(self) -> None:
        self.drain()

    def stop_now(self) -> None:
        log.warning("stopping at once")
        self._pool.stop_now()
