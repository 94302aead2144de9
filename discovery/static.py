"""The addresses written in a file, as a Source. Host names are `dns_sd`'s."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import trio

from discovery.dns_sd.names import is_numeric
from discovery.model import Instance, StaticTarget
from discovery.source import Answer, Emit, SourceState

Targets = Mapping[str, tuple[StaticTarget, ...]]


class StaticSource:
    """Emits an Answer for every service, at once, and again when the file has changed."""

    name = "static"

    def __init__(self, targets: Targets, *, clock: Callable[[], float] = time.time) -> None:
        """`targets` by service, those with host names are left alone; `clock` gives Unix time."""
        self._targets = dict(targets)
        self._clock = clock
        self._emit: Emit | None = None
        self._answers: dict[str, Answer] = {}

    def update(self, targets: Targets) -> None:
        """Replaces the targets, at once."""
        self._targets = dict(targets)
        self._publish()

    async def run(self, emit: Emit) -> None:
        """See `discovery.source.Source`."""
        self._emit = emit
        self._answers.clear()
        self._publish()
        try:
            await trio.sleep_forever()
        finally:
            self._emit = None

    def _publish(self) -> None:
        if self._emit is None:
            return
        answers = {service: Answer(self.name, service, _instances(each)) for service, each in self._targets.items()}
        for service in self._answers.keys() - answers.keys():
            self._emit(Answer(self.name, service, ()))
        for service, answer in answers.items():
            if self._answers.get(service) != answer:
                self._emit(answer)
        self._answers = answers
        self._emit(SourceState(self.name, stale=False, stale_since=None, last_success=self._clock()))


def _instances(targets: tuple[StaticTarget, ...]) -> tuple[Instance, ...]:
    found: dict[str, Instance] = {}
    for target in targets:
        if is_numeric(target.host):
            instance = Instance(host=target.host, port=target.port, weight=target.weight)
            found.setdefault(instance.address, instance)
    return tuple(found.values())
