"""Which services and routes are declared, by the file, Consul's KV and tags together. Pure.

The file wins over KV, KV over tags. A service of Consul that makes routes by tags is the service of file or KV that
is discovered under that name, if there is one, and otherwise becomes a service of its own with the
tags' settings. A tag that asks for the impossible costs what it asked for, no more, and is a problem
to be shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from discovery.merge import merge_routes
from discovery.model import Origin, OriginKind, Problem, RouteSpec, ServiceSpec
from discovery.source import KeyAnswer, TaggedService
from gateway.config.load import ConfigError, service_from_options
from gateway.supervisor.keys import Keys

Made = tuple[ServiceSpec | None, list[Problem]]
"""The service that tags declare, if they do, and what of them was not understood."""


class Declared:
    """`refresh` brings `services`, `routes` and `problems` up to date; until then they are as of the last one."""

    def __init__(self) -> None:
        self.services: dict[str, ServiceSpec] = {}
        self.routes: tuple[RouteSpec, ...] = ()
        self.problems: tuple[Problem, ...] = ()
        self._file_services: dict[str, ServiceSpec] = {}
        self._file_routes: tuple[RouteSpec, ...] = ()
        self._keys = Keys()
        self._tagged: dict[str, TaggedService] = {}
        self._made: dict[str, tuple[TaggedService, Made]] = {}  # what `_tagged` was made into, by service
        self._is_stale = False

    def set_file(self, services: Iterable[ServiceSpec], routes: Iterable[RouteSpec]) -> None:
        """What the file says now."""
        self._file_services = {spec.name: spec for spec in services}
        self._file_routes = tuple(routes)
        self._is_stale = True

    def set_keys(self, answer: KeyAnswer) -> None:
        """What Consul's KV says now."""
        self._keys.update(answer)
        self._is_stale = True

    def set_tagged(self, tagged: TaggedService) -> None:
        """What the tags of one service of Consul say now (those of one that is gone are its source's to end)."""
        if tagged.routes or tagged.problems:
            self._tagged[tagged.service] = tagged
        else:
            self._tagged.pop(tagged.service, None)
            self._made.pop(tagged.service, None)
        self._is_stale = True

    def refresh(self) -> bool:
        """Put the parts together again if any of them changed; True if the services did."""
        is_stale, self._is_stale = self._is_stale, False
        return is_stale and self._merge()

    def _merge(self) -> bool:
        tag_services = {name for name, tagged in self._tagged.items() if tagged.routes}
        keys = self._keys.resolve({*self._file_services, *tag_services})
        problems: list[Problem] = list(keys.problems)
        fixed = keys.services | self._file_services  # by file or KV
        problems.extend(
            _overruled(spec, fixed[name])
            for name, spec in keys.services.items()
            if replace(spec, origin=fixed[name].origin) != fixed[name]
        )
        # The first of the file's services wins where two are discovered under one name. Tags are read in the
        # gateway's own datacenter.
        in_order = [*self._file_services.values(), *keys.services.values()]
        known_as = {spec.consul: spec.name for spec in reversed(in_order) if spec.consul and not spec.datacenter}
        services = dict(fixed)
        tag_routes: list[RouteSpec] = []
        for _, tagged in sorted(self._tagged.items()):
            problems.extend(tagged.problems)
            name = known_as.get(tagged.service, tagged.service)
            routes = [route if route.service == name else replace(route, service=name) for route in tagged.routes]
            if all(route.is_refused for route in routes):  # which closes something, and needs no service for that
                tag_routes.extend(routes)
                continue
            if name not in fixed:
                spec, not_understood = self._make(tagged)
                problems.extend(not_understood)
                if spec is None:
                    continue
                services[name] = spec
            elif tagged.service not in known_as:
                problems.append(_name_taken(tagged, fixed[name]))
                continue
            tag_routes.extend(routes)
        self.routes, conflicts = merge_routes([*self._file_routes, *keys.routes, *tag_routes])
        self.problems = (*problems, *conflicts)
        if [*services.values()] == [*self.services.values()]:
            return False
        self.services = services
        return True

    def _make(self, tagged: TaggedService) -> Made:
        """As `_service_of`, which costs a validation, and one service of hundreds changes at a time."""
        known = self._made.get(tagged.service)
        if known is None or known[0] is not tagged:
            known = self._made[tagged.service] = (tagged, _service_of(tagged))
        return known[1]


def _overruled(spec: ServiceSpec, winner: ServiceSpec) -> Problem:
    return Problem(spec.origin, f"service {spec.name!r} is declared by {winner.origin} already, which wins")


def _name_taken(tagged: TaggedService, holder: ServiceSpec) -> Problem:
    return Problem(
        tagged.routes[0].origin,
        f"{holder.origin} has a service {tagged.service!r} that is not discovered in Consul here, so the routes that "
        f'Consul\'s service of this name asks for are not used: give that one consul = "{tagged.service}", '
        "or another name",
    )


def _service_of(tagged: TaggedService) -> Made:
    """The service that tags alone declare; options that are not understood are left out, one by one."""
    origin = Origin(OriginKind.TAG, f"service {tagged.service}")
    understood: dict[str, object] = {}
    problems: list[Problem] = []
    spec: ServiceSpec | None = None
    for option in ((), *((each,) for each in tagged.options)):  # none first: the name itself may be impossible
        try:
            spec = service_from_options(tagged.service, origin, {**understood, **dict(option)})
        except ConfigError as error:
            problems.extend(Problem(origin, sentence.removeprefix(f"{origin}: ")) for sentence in error.problems)
            if spec is None:
                return None, problems
        else:
            understood |= dict(option)
    assert spec is not None
    return replace(spec, consul=tagged.service, targets=()), problems
