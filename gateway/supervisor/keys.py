"""What Consul's KV declares: every document by its key, and the last good one of those that are bad now. Pure.

A document is bad if it cannot be read, or if its route leads to a service that nobody declares; what its key
said last stays in force then, as far as that is still possible. A service whose key is gone while a
route of the KV still leads to it stays as well: the keys of a change need no order.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from discovery.model import Origin, Problem, RouteSpec, ServiceSpec
from discovery.source import KeyAnswer
from gateway.config.kv import Entry, key_origin, read_entry
from gateway.config.load import ConfigError
from gateway.config.problems import quoted, suggestion


@dataclass(slots=True)
class _Document:
    value: bytes
    newest: Entry | None = None  # None: it cannot be read
    good: Entry | None = None  # the last that was in force
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyDeclarations:
    """What is in force, by the KV alone, and what is wrong."""

    services: dict[str, ServiceSpec]
    routes: tuple[RouteSpec, ...]
    problems: tuple[Problem, ...]


class Keys:
    """All documents below the prefix."""

    def __init__(self) -> None:
        self._services: dict[str, _Document] = {}
        self._routes: dict[str, _Document] = {}  # and keys that are neither
        self._gone: dict[str, ServiceSpec] = {}  # services without a key, while routes lead to them

    def update(self, answer: KeyAnswer) -> None:
        """What is written now; only documents that changed are read."""
        before = self._services | self._routes
        self._services, self._routes = {}, {}
        for key, value in answer.entries:
            if key.endswith("/"):  # a folder, as Consul's own interface makes them
                continue
            document = before.pop(key, None)
            if document is None or document.value != value:
                document = _read(answer.prefix, key, value, document)
            is_service = key.startswith(f"{answer.prefix}services/")
            (self._services if is_service else self._routes)[key] = document
        for document in before.values():
            if document.good is not None and document.good.route is None and document.good.service is not None:
                self._gone[document.good.service.name] = document.good.service

    def resolve(self, others: Collection[str]) -> KeyDeclarations:
        """What is in force now. `others`: the services that are declared elsewhere."""
        problems: list[Problem] = []
        services: dict[str, ServiceSpec] = {}
        for key, document in self._services.items():
            document.good = document.newest or document.good
            if document.good is not None and document.good.service is not None:
                services[document.good.service.name] = document.good.service
            _report(key, document.faults, document.good is not None, problems)
        known = {*services, *others}
        routes: list[RouteSpec] = []
        for key, document in self._routes.items():
            document.good = self._in_force(key, document, known, problems)
            if document.good is not None and document.good.route is not None:
                routes.append(document.good.route)
                if document.good.service is not None:
                    services.setdefault(document.good.service.name, document.good.service)
        used = {route.service for route in routes}
        self._gone = {name: spec for name, spec in self._gone.items() if name in used and name not in known}
        problems.extend(Problem(spec.origin, _still_used(name, routes)) for name, spec in self._gone.items())
        return KeyDeclarations(services | self._gone, tuple(routes), tuple(problems))

    def _in_force(self, key: str, document: _Document, known: Collection[str], problems: list[Problem]) -> Entry | None:
        """The newest of a route's documents that can be honoured."""
        faults = list(document.faults)
        for entry in filter(None, (document.newest, document.good)):
            fault = self._destination_fault(entry, known)
            if not fault:
                _report(key, faults, entry is document.good, problems)
                return entry
            faults.append(fault)
        _report(key, dict.fromkeys(faults), False, problems)
        return None

    def _destination_fault(self, entry: Entry, known: Collection[str]) -> str:
        assert entry.route is not None
        name = entry.route.service
        if entry.service is not None:
            return f'target_url: {name} is a service\'s name: write service = "{name}"' if name in known else ""
        if name in known or name in self._gone:
            return ""
        exist = f"services are: {', '.join(sorted(known))}" if known else "there are no services"
        return f"service: unknown service {quoted(name)}; {exist}{suggestion(name, sorted(known))}"


def _read(prefix: str, key: str, value: bytes, before: _Document | None) -> _Document:
    good = before.good if before else None
    try:
        return _Document(value, read_entry(prefix, key, value), good)
    except ConfigError as error:
        return _Document(value, None, good, error.problems)


def _report(key: str, faults: Collection[str], has_good: bool, problems: list[Problem]) -> None:
    remains = "what it said before stays in force" if has_good else "nothing of it is in force"
    problems.extend(Problem(key_origin(key), f"{fault}; {remains}") for fault in faults)


def _still_used(name: str, routes: list[RouteSpec]) -> str:
    users: list[Origin] = [route.origin for route in routes if route.service == name]
    return f"is gone, and service {quoted(name)} stays in force, as {', '.join(map(str, users))} leads to it"
