"""Everything known now, and what workers should know of it. Pure: events and times come in, snapshots go out.

What comes in (configuration, answers of sources, health, ejections, readiness) only marks services
dirty; `build` then decides anew for the dirty ones alone, gives every part whose content moved a new
version, and answers None when none did. So thousands of instances cost nothing while one of them
changes.

An instance is a *member* of its service for as long as any source lists its address. What is known
of it (health, its cell in the ledger) lives and dies with its membership.

Times are seconds on one steady clock, `now`; `unix_offset` turns them into Unix time for people.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count

from discovery.health_tags import overridden
from discovery.model import Instance, Problem, RouteSpec, ServiceSpec
from discovery.settings import HealthSettings, ProbeType
from discovery.source import Answer, Event, KeyAnswer, SourceProblems, SourceState, TaggedService
from gateway.admin.facts import RouteFacts, ServiceFacts
from gateway.shm.cells import CellsExhausted
from gateway.shm.layout import INSTANCE_CELLS, NO_ROUTE_CELL, ROUTE_CELLS
from gateway.snapshot.failover import resolve_tiers
from gateway.snapshot.model import RouteRecord, ServiceRecord, Snapshot, WorkerSettings
from gateway.snapshot.resolve import InstanceFacts, ServiceRules
from gateway.supervisor.cellbook import CellBook
from gateway.supervisor.declared import Declared
from gateway.supervisor.listing import Listing, users
from gateway.supervisor.records import Member, route_facts, route_record, service_record
from healthcheck.model import Health, Target, Transition, Verdict

RouteKey = tuple[str, str, str, tuple[str, ...], str]  # service, host, path, methods, options


@dataclass(slots=True)
class _Service:
    spec: ServiceSpec
    record: ServiceRecord
    members: dict[str, Member] = field(default_factory=dict)  # by address
    tier: int = 0  # in use, see snapshot.failover
    is_settled: bool = False

    def datacenter(self) -> str:
        """The one in use; "" if it has no instance of Consul there."""
        if self.tier:
            return self.spec.failover[self.tier - 1]
        own = (member.instance.datacenter for member in self.members.values() if member.tier == 0)
        return self.spec.datacenter or next(filter(None, own), "")


@dataclass(frozen=True, slots=True)
class Move:
    """A service's traffic has gone from one datacenter to another."""

    service: str
    previous: str
    datacenter: str
    is_home: bool  # back in the service's own


class Registry:
    """One gateway's knowledge. `build` before asking what goes out."""

    def __init__(
        self, *, unix_offset: float = 0.0, instance_cells: int = INSTANCE_CELLS, route_cells: int = ROUTE_CELLS
    ) -> None:
        self.targets: dict[Target, HealthSettings] = {}  # what is to be probed
        self.targets_version = 0  # moves with every change of `targets`
        self.sources: dict[str, SourceState] = {}
        self._source_problems: dict[str, tuple[Problem, ...]] = {}
        self.instance_cells: CellBook[Target] = CellBook(instance_cells)
        self.route_cells: CellBook[RouteKey] = CellBook(route_cells, first=NO_ROUTE_CELL + 1)
        self._unix_offset = unix_offset
        self._declared = Declared()
        self._listing = Listing()
        self._services: dict[str, _Service] = {}
        self._routes: tuple[tuple[RouteSpec, RouteRecord], ...] = ()
        self._routes_from: tuple[RouteSpec, ...] = ()  # what `_routes` was made of
        self._settings: WorkerSettings | None = None
        self._versions = count(1)  # of all parts together: a part that comes back never meets its old version
        self._settings_version = 0
        self._routes_version = 0
        self._dirty: set[str] = set()  # services to decide anew
        self._relisted: set[str] = set()  # those of them whose instances or settings may be others
        self._are_settings_dirty = False
        self._next_changes: dict[str, float] = {}  # service: when time alone changes it
        self._ejected: frozenset[int] = frozenset()  # cells
        self._moves: list[Move] = []
        self._shortages: dict[str, Problem] = {}  # by service, "" for routes: cells were too few

    # --- what comes in ---------------------------------------------------------------------
    def apply_config(
        self, services: Iterable[ServiceSpec], routes: Iterable[RouteSpec], settings: WorkerSettings
    ) -> None:
        """The file, as of now. What is known of instances that stay is kept; readiness is not the file's."""
        self._declared.set_file(services, routes)
        self._set_settings(replace(settings, ready=self._settings.ready) if self._settings else settings)

    def set_ready(self, is_ready: bool) -> bool:
        """What /ready on the listen address says; True if that is a change."""
        assert self._settings is not None
        if self._settings.ready == is_ready:
            return False
        self._set_settings(replace(self._settings, ready=is_ready))
        return True

    def apply_event(self, event: Event) -> None:
        """What a source says."""
        match event:
            case Answer():
                if self._listing.apply(event):
                    self._relist(users(event, self._declared.services.values()))
            case TaggedService():
                self._declared.set_tagged(event)
            case KeyAnswer():
                self._declared.set_keys(event)
            case SourceProblems(source, problems):
                self._source_problems[source] = problems
            case SourceState(source):
                self.sources[source] = event
                self._dirty.update(name for name, each in self._services.items() if not each.is_settled)

    def forget_source(self, source: str) -> None:
        """A source is no more: nor are its instances (its tags and keys are its own to take back)."""
        self.sources.pop(source, None)
        self._source_problems.pop(source, None)
        names = self._listing.forget(source)
        self._relist(name for name, spec in self._declared.services.items() if spec.consul in names)

    def apply_transition(self, transition: Transition, now: float) -> None:
        """A change of health."""
        member = self._member(transition.target)
        if member is None:
            return  # it left while the probe was under way
        if transition.health is Health.HEALTHY:
            member.healthy_since = now
        member.health, member.detail, member.since = transition.health, transition.detail, now
        self._dirty.add(transition.target.service)

    def apply_verdict(self, target: Target, verdict: Verdict) -> None:
        """The result of a probe: counted, and shown as the reason."""
        member = self._member(target)
        if member is None:
            return
        member.detail = verdict.detail
        if verdict.ok:
            member.checks_ok += 1
        else:
            member.checks_failed += 1

    def apply_ejections(self, cells: Iterable[int]) -> bool:
        """The cells of all instances that some worker has ejected now; True if that is a change."""
        ejected = frozenset(cells)
        changed, self._ejected = ejected ^ self._ejected, ejected
        owners = {self.instance_cells.owner(cell) for cell in changed}
        services = {owner.service for owner in owners if owner is not None}
        self._dirty |= services
        return bool(services)

    # --- what goes out ---------------------------------------------------------------------
    def declare(self) -> Mapping[str, ServiceSpec]:
        """The services that are declared as of now; another object whenever they change."""
        if self._declared.refresh():
            self._mark_redeclared()
        return self._declared.services

    def build(self, generation: int, accepted_ns: int, now: float) -> Snapshot | None:
        """The snapshot to publish as `generation`; None when it would say what the last one said."""
        assert self._settings is not None
        self.declare()
        self._dirty.update(name for name, at in self._next_changes.items() if at <= now)
        has_changed, self._are_settings_dirty = self._are_settings_dirty, False
        for name in sorted(self._dirty):
            has_changed |= self._rebuild(name, generation, now)
        self._dirty.clear()
        self._relisted.clear()
        has_changed |= self._rebuild_routes(generation)
        if not has_changed:
            return None
        return Snapshot(
            generation=generation,
            accepted_ns=accepted_ns,
            settings_version=self._settings_version,
            settings=self._settings,
            routes_version=self._routes_version,
            routes=tuple(record for _, record in self._routes),
            services=tuple(self._services[name].record for name in self._declared.services),
        )

    def next_change(self) -> float:
        """When the passing of time alone changes something; inf: never."""
        return min(self._next_changes.values(), default=math.inf)

    def release_cells(self, generation: int, in_flight: Callable[[int], int]) -> tuple[list[int], list[int]]:
        """Free what is nobody's any more: instance cells and route cells, for the ledger to forget.

        `generation` is the oldest one that a worker still uses, `in_flight` counts attempts on an instance cell.
        """
        instances = self.instance_cells.release(generation, lambda cell: not in_flight(cell))
        return instances, self.route_cells.release(generation, lambda _cell: True)

    def take_moves(self) -> list[Move]:
        """What has moved to another datacenter since this was last asked."""
        moves, self._moves = self._moves, []
        return moves

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Declarations that could not be honoured."""
        of_sources = (problem for problems in self._source_problems.values() for problem in problems)
        return (*of_sources, *self._declared.problems, *self._shortages.values())

    @property
    def is_unprobed(self) -> bool:
        """Is there a provisional instance that no probe has judged yet?"""
        members = (member for service in self._services.values() for member in service.members.values())
        return bool(self._dirty) or any(
            member.instance.provisional and member.health is Health.UNKNOWN for member in members
        )

    def service_facts(self) -> tuple[ServiceFacts, ...]:
        return tuple(
            ServiceFacts(
                name=name,
                origin=str(service.spec.origin),
                balance=service.spec.balance,
                consul=service.spec.consul,
                datacenter=service.datacenter(),
                failover=service.spec.failover,
                instances=tuple(member.facts(self._unix_offset) for member in service.members.values()),
            )
            for name in self._declared.services
            if (service := self._services.get(name))
        )

    def route_facts(self) -> tuple[RouteFacts, ...]:
        return tuple(route_facts(spec, record.cell) for spec, record in self._routes if not spec.is_refused)

    # --- inside ----------------------------------------------------------------------------
    def _set_settings(self, settings: WorkerSettings) -> None:
        if settings != self._settings:
            self._settings = settings
            self._settings_version = next(self._versions)
            self._are_settings_dirty = True

    def _mark_redeclared(self) -> None:
        """The declarations changed: the services whose settings did are dirty."""
        declared = self._declared.services
        self._relist(name for name in self._services if name not in declared)
        for name, spec in declared.items():
            service = self._services.get(name)
            if service is None or service.spec != spec:
                self._relist([name])

    def _relist(self, services: Iterable[str]) -> None:
        self._relisted.update(services)
        self._dirty |= self._relisted

    def _member(self, target: Target) -> Member | None:
        service = self._services.get(target.service)
        return service.members.get(target.address) if service else None

    def _rebuild(self, name: str, generation: int, now: float) -> bool:
        """Decide anew for one service; True if workers must know."""
        self._next_changes.pop(name, None)
        spec = self._declared.services.get(name)
        service = self._services.get(name)
        if spec is None:
            if service is None:
                return False
            for address in service.members:
                self._dismiss(Target(name, address), generation)
            del self._services[name]
            self._shortages.pop(name, None)
            return True
        if service is None:
            service = self._services[name] = _Service(spec, service_record(spec, 0, ()))
        before, service.spec = service.record, spec
        if name in self._relisted:
            self._update_members(service, generation, now)
        self._resolve(service, now)
        after = service_record(spec, before.version, service.members.values())
        if after == before and before.version:
            return False
        service.record = replace(after, version=next(self._versions))
        return True

    def _update_members(self, service: _Service, generation: int, now: float) -> None:
        """Members come, change and go as the sources say."""
        name = service.spec.name
        self._shortages.pop(name, None)
        listed, before = self._listing.listed(service.spec), service.members
        for address in before.keys() - listed.keys():
            self._dismiss(Target(name, address), generation)
        service.members = {}
        for address, each in listed.items():
            target, settings = Target(name, address), overridden(service.spec.health, each.instance.health)
            member = before.get(address) or self._admit(target, each.instance, settings, now)
            if member is None:
                continue
            member.instance, member.tier, member.origin = each.instance, each.tier, each.origin
            service.members[address] = member
            if self.targets.get(target) != settings:
                self.targets[target] = settings
                self.targets_version += 1

    def _admit(self, target: Target, instance: Instance, settings: HealthSettings, now: float) -> Member | None:
        try:
            cell = self.instance_cells.admit(target)
        except CellsExhausted as error:
            origin = self._declared.services[target.service].origin
            message = f"service {target.service!r} lacks instances, {target.address} among them: {error}"
            self._shortages[target.service] = Problem(origin, message)
            return None
        if settings.type is ProbeType.NONE:  # no probe will ever say so
            return Member(instance, cell, Health.UNCHECKED, now, "not checked: health type is none")
        return Member(instance, cell, Health.UNKNOWN, now, "not probed yet")

    def _dismiss(self, target: Target, generation: int) -> None:
        self.instance_cells.dismiss(target, generation)
        del self.targets[target]
        self.targets_version += 1

    def _resolve(self, service: _Service, now: float) -> None:
        """Who takes traffic."""
        spec = service.spec
        facts = [
            InstanceFacts(
                standing=member.instance.standing,
                provisional=member.instance.provisional,
                weight=member.instance.weight,
                health=member.health,
                draining=False,
                ejected=member.cell in self._ejected,
                healthy_since=member.healthy_since,
            )
            for member in service.members.values()
        ]
        rules = ServiceRules(spec.fail_open_below, spec.slow_start, spec.outlier.max_ejected_percent)
        choice = resolve_tiers(
            facts,
            [member.tier for member in service.members.values()],
            rules,
            now,
            unanswered=self._listing.unanswered(spec, self.sources),
            is_settled=service.is_settled,
        )
        resolution, previous = choice.resolution, service.datacenter()
        has_moved = choice.tier != service.tier
        service.tier, service.is_settled = choice.tier, choice.is_settled
        if has_moved:
            self._moves.append(Move(spec.name, previous, service.datacenter(), not choice.tier))
        for member, resolved in zip(service.members.values(), resolution.instances, strict=True):
            if resolved.standby is not member.resolved.standby:
                member.since = now
            member.resolved = resolved
        if resolution.next_change < math.inf:
            self._next_changes[spec.name] = resolution.next_change

    def _rebuild_routes(self, generation: int) -> bool:
        """True if workers must know."""
        specs = self._declared.routes
        if specs is self._routes_from:
            return False
        self._routes_from = specs
        before = {_route_key(spec) for spec, _ in self._routes if not spec.is_refused}
        self._shortages.pop("", None)
        routes: list[tuple[RouteSpec, RouteRecord]] = []
        for spec in specs:
            try:
                cell = NO_ROUTE_CELL if spec.is_refused else self.route_cells.admit(_route_key(spec))
                routes.append((spec, route_record(spec, cell)))
            except CellsExhausted as error:
                message = f"route {spec.host}{spec.path} is not in force, maybe others: {error}"
                self._shortages[""] = Problem(spec.origin, message)
        for key in before - {_route_key(spec) for spec, _ in routes if not spec.is_refused}:
            self.route_cells.dismiss(key, generation)
        is_news = [record for _, record in routes] != [record for _, record in self._routes]
        self._routes = tuple(routes)
        if is_news:
            self._routes_version = next(self._versions)
        return is_news


def _route_key(spec: RouteSpec) -> RouteKey:
    return spec.service, spec.host, spec.path, spec.methods, spec.options
