"""DNS as a Source: the host names of a file's instances, and services by SRV records.

A host name stands for every address it has; a name of SRV records for every address of their targets, with
their ports and weights. While questions fail the last answers stay in use and the source is stale. A
service whose names have never been answered gets no answer: nothing is known of it, which is not "no
instances".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import trio

from discovery.dns_sd.names import Names, is_numeric
from discovery.dns_sd.resolver import Resolver, SrvRecord
from discovery.model import Instance, StaticTarget
from discovery.source import Answer, Emit, SourceState

Targets = Mapping[str, tuple[StaticTarget, ...]]

REFRESH = 10.0  # seconds between states that say nothing but a newer success
DOUBTFUL = "DNS no longer knows its name after failures; kept for a while as long as it passes probes"


class DnsSource:
    """Emits an Answer for every service with names, and again when what they stand for has changed."""

    name = "dns"

    def __init__(self, targets: Targets, resolver: Resolver, *, clock: Callable[[], float] = time.time) -> None:
        """`targets` by service, those with numeric hosts are left alone; `clock` gives Unix time."""
        self._targets = _with_names(targets)
        self._clock = clock
        self._services: Names[SrvRecord] = Names(resolver.services, self._publish)
        self._names: Names[str] = Names(resolver.addresses, self._publish)
        self._emit: Emit | None = None
        self._answers: dict[str, Answer] = {}
        self._state: SourceState | None = None

    @property
    def is_used(self) -> bool:
        """Is there any name to ask for?"""
        return bool(self._targets)

    def update(self, targets: Targets) -> None:
        """Replaces the targets, at once; what is known of names still wanted is kept."""
        self._targets = _with_names(targets)
        self._publish()

    async def run(self, emit: Emit) -> None:
        """See `discovery.source.Source`."""
        self._emit = emit
        self._answers.clear()
        self._publish()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._services.run)
                nursery.start_soon(self._names.run)
        finally:
            self._emit = None

    def _publish(self) -> None:
        if self._emit is None:
            return
        self._want()
        for service in self._answers.keys() - self._targets.keys():
            del self._answers[service]
            self._emit(Answer(self.name, service, ()))
        for service, targets in self._targets.items():
            found: dict[str, Instance] = {}
            for instance in self._instances(targets):
                found.setdefault(instance.address, instance)
            answer = Answer(self.name, service, tuple(found.values()))
            if self._answers.get(service) != answer and (found or self._is_known(service)):
                self._answers[service] = answer
                self._emit(answer)
        self._publish_state(self._emit)

    def _want(self) -> None:
        targets = [target for each in self._targets.values() for target in each]
        self._services.want(target.host for target in targets if target.is_srv)
        records = (record for target in targets for record in self._services.values(target.host))
        hosts = [target.host for target in targets if not target.is_srv]
        self._names.want([*hosts, *(record.target for record in records)])

    def _is_known(self, service: str) -> bool:
        """Does an answer without instances say something? Not while names are new or were never answered."""
        known = [each for target in self._targets[service] for each in self._names_of(target)]
        if service in self._answers:
            return not any(names.is_pending(name) for names, name in known)
        return all(names.is_answered(name) for names, name in known)

    def _names_of(self, target: StaticTarget) -> Iterator[tuple[Names[SrvRecord] | Names[str], str]]:
        if target.is_srv:
            yield self._services, target.host
            for record in self._services.values(target.host):
                yield self._names, record.target
        else:
            yield self._names, target.host

    def _instances(self, targets: tuple[StaticTarget, ...]) -> Iterator[Instance]:
        for target in targets:
            if target.is_srv:
                is_doubtful = self._services.is_doubtful(target.host)
                for record in self._services.values(target.host):
                    yield from self._resolved(record.target, record.port, record.weight, is_doubtful)
            else:
                yield from self._resolved(target.host, target.port, target.weight, False)

    def _resolved(self, host: str, port: int, weight: int, is_doubtful: bool) -> Iterator[Instance]:
        is_doubtful |= self._names.is_doubtful(host)
        for address in self._names.values(host):
            instance = Instance(host=address, port=port, weight=weight, name=host)
            yield replace(instance, provisional=True, detail=DOUBTFUL) if is_doubtful else instance

    def _publish_state(self, emit: Emit) -> None:
        if not self.is_used or self._names.is_any_pending or self._services.is_any_pending:
            return  # nothing to tell, or soon known
        now, before = self._clock(), self._state
        error = "; ".join(filter(None, (self._services.error(), self._names.error())))
        note = "; ".join(filter(None, (self._services.note(), self._names.note())))
        since = None
        if error:
            since = before.stale_since if before and before.stale else now
        success = (before.last_success if before else None) if error else now
        state = SourceState(self.name, bool(error), since, success, error or note)
        is_same = before is not None and replace(state, last_success=before.last_success) == before
        if is_same and before and (success or 0.0) - (before.last_success or 0.0) < REFRESH:
            return
        self._state = state
        emit(state)


def _with_names(targets: Targets) -> dict[str, tuple[StaticTarget, ...]]:
    named = {
        service: tuple(target for target in each if not is_numeric(target.host)) for service, each in targets.items()
    }
    return {service: each for service, each in named.items() if each}
