"""The instances written in a file, as a Source.

An address counts at once. A host name stands for every address it resolves to, and is resolved again
every 10 s; while that fails its last addresses stay in use and the source is stale. A service whose
names have never been resolved gets no answer: nothing is known of it, which is not "no instances".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from discovery.model import Instance, StaticTarget
from discovery.names import RESOLVE_INTERVAL, Names, is_numeric
from discovery.source import Answer, Emit, SourceState

Targets = Mapping[str, tuple[StaticTarget, ...]]


class StaticSource:
    """Emits an Answer for every service, and again when what its names stand for has changed."""

    name = "static"

    def __init__(
        self, targets: Targets, *, interval: float = RESOLVE_INTERVAL, clock: Callable[[], float] = time.time
    ) -> None:
        """`targets` by service; `interval` between resolutions in seconds; `clock` gives Unix time."""
        self._targets = dict(targets)
        self._clock = clock
        self._names = Names(self._publish, interval=interval)
        self._emit: Emit | None = None
        self._answers: dict[str, Answer] = {}
        self._stale_since: float | None = None
        self._state: SourceState | None = None

    def update(self, targets: Targets) -> None:
        """Replaces the targets, at once; what is known of names still wanted is kept."""
        self._targets = dict(targets)
        self._want()
        self._publish()

    async def run(self, emit: Emit) -> None:
        """See `discovery.source.Source`."""
        self._emit = emit
        self._answers.clear()
        self._want()
        self._publish()
        try:
            await self._names.run()
        finally:
            self._emit = None

    def _want(self) -> None:
        hosts = (target.host for targets in self._targets.values() for target in targets)
        self._names.want(host for host in hosts if not is_numeric(host))

    def _publish(self) -> None:
        if self._emit is None:
            return
        for service in self._answers.keys() - self._targets.keys():
            del self._answers[service]
            self._emit(Answer(self.name, service, ()))
        for service, targets in self._targets.items():
            answer = Answer(self.name, service, self._instances(targets))
            if self._is_known(service, answer) and self._answers.get(service) != answer:
                self._answers[service] = answer
                self._emit(answer)
        self._publish_state(self._emit)

    def _is_known(self, service: str, answer: Answer) -> bool:
        """Is an answer without instances one? Not while names are new or have never been resolved."""
        targets = self._targets[service]
        pending = any(self._names.is_pending(target.host) for target in targets)
        return bool(answer.instances) or not targets or (service in self._answers and not pending)

    def _instances(self, targets: tuple[StaticTarget, ...]) -> tuple[Instance, ...]:
        found: dict[str, Instance] = {}
        for target in targets:
            numeric = is_numeric(target.host)
            for host in (target.host,) if numeric else self._names.addresses(target.host):
                name = "" if numeric else target.host
                instance = Instance(host=host, port=target.port, weight=target.weight, name=name)
                found.setdefault(instance.address, instance)
        return tuple(found.values())

    def _publish_state(self, emit: Emit) -> None:
        hosts = (target.host for targets in self._targets.values() for target in targets)
        if any(self._names.is_pending(host) for host in hosts):
            return  # soon known
        now, error = self._clock(), self._names.error()
        if error:
            self._stale_since = self._stale_since if self._stale_since is not None else now
            last_success = self._state.last_success if self._state else None
            state = SourceState(
                self.name, stale=True, stale_since=self._stale_since, last_success=last_success, error=error
            )
        else:
            self._stale_since = None
            state = SourceState(self.name, stale=False, stale_since=None, last_success=now)
        if state != self._state:
            self._state = state
            emit(state)
