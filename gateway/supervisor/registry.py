"""Everything known now, and what workers should know of it. Pure: events and times come in, snapshots go out.

What comes in (configuration, answers of sources, health, ejections, readiness) only marks services
dirty; `build` then decides anew for the dirty ones alone, gives every part whose content moved a new
version, and answers None when none did. So thousands of instances cost nothing while one of them
changes.

An instance is a *member* of its service for as long as any source lists its address. What is known
of it (health, its cell in the ledger) lives and dies with its membership; its history (`history.Past`)
outlives a short absence, and an operator's drain any.

Times are seconds on one steady clock, `now`; `wall` says what turns them into Unix time for people.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import count

from discovery.health_tags import overridden
from discovery.model import Instance, Problem, RouteSpec, ServiceSpec
from discovery.settings import HealthSettings, ProbeType
from discovery.source import Answer, Event, KeyAnswer, SourceProblems, SourceState, TaggedService
from gateway.admin.facts import NotKnown, RouteFacts, ServiceFacts, ServiceFigures, unknown_instance
from gateway.shm.cells import CellsExhausted
from gateway.shm.layout import INSTANCE_CELLS, ROUTE_CELLS
from gateway.snapshot.model import RouteRecord, Snapshot, WorkerSettings
from gateway.supervisor.cellbook import CellBook
from gateway.supervisor.damping import Damping
from gateway.supervisor.decide import leave
from gateway.supervisor.declared import Declared
from gateway.supervisor.drains import Drains
from gateway.supervisor.heritage import Heirloom, Heritage
from gateway.supervisor.history import Archive
from gateway.supervisor.listing import Listing, users
from gateway.supervisor.records import Member, new_member, service_record
from gateway.supervisor.routebook import RouteBook
from gateway.supervisor.service import News, Service
from healthcheck.model import Health, Target, Transition, Verdict


class Registry:
    """One gateway's knowledge. `build` before asking what goes out."""

    def __init__(
        self, *, wall: Callable[[], float] = float, instance_cells: int = INSTANCE_CELLS, route_cells: int = ROUTE_CELLS
    ) -> None:
        self.targets: dict[Target, HealthSettings] = {}  # what is to be probed
        self._retargeted: dict[Target, None] = {}  # what of them came, went or changed since `take_retargeted`
        self.sources: dict[str, SourceState] = {}
        self._source_problems: dict[str, tuple[Problem, ...]] = {}
        self.instance_cells: CellBook[Target] = CellBook(instance_cells)
        self._wall = wall  # what turns `now` into Unix time
        self._declared = Declared()
        self._listing = Listing()
        self._services: dict[str, Service] = {}
        self._routes = RouteBook(route_cells)
        self._settings: WorkerSettings | None = None
        self._versions = count(1)  # of all parts together: a part that comes back never meets its old version
        self._settings_version = 0
        self._routes_version = 0
        self._dirty: set[str] = set()  # services to decide anew
        self._relisted: set[str] = set()  # those of them whose instances or settings may be others
        self._are_settings_dirty = False
        self._next_changes: dict[str, float] = {}  # service: when time alone changes it
        self._ejected: dict[int, float] = {}  # cells of instances that some worker ejected: until when
        self._drains = Drains()
        self._archive = Archive()
        self._heritage = Heritage()
        self._news: list[News] = []  # since `take_news`
        self._shortages: dict[str, Problem] = {}  # by service: cells were too few

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
                self._dirty.update(name for name, each in self._services.items() if each.may_move)

    def forget_source(self, source: str) -> None:
        """A source is no more: nor are its instances (its tags and keys are its own to take back)."""
        self.sources.pop(source, None)
        self._source_problems.pop(source, None)
        names = self._listing.forget(source)
        self._relist(name for name, spec in self._declared.services.items() if spec.consul in names)

    def apply_transition(self, transition: Transition, now: float) -> None:
        """A change of health."""
        if (member := self._member(transition.target)) is None:
            return  # it left while the probe was under way
        member.health, member.detail, member.since = transition.health, transition.detail, now
        self._dirty.add(transition.target.service)

    def apply_verdict(self, target: Target, verdict: Verdict, now: float) -> None:
        """The result of a probe, which came at `now`."""
        if member := self._member(target):
            member.probed(verdict, now)

    def apply_ejections(self, until: Mapping[int, float]) -> bool:
        """Until when instances are ejected, by cell: all that some worker has ejected now; True if that is news."""
        changed = {cell for cell, _ in self._ejected.items() ^ until.items()}
        self._ejected = dict(until)
        owners = {self.instance_cells.owner(cell) for cell in changed}
        services = {owner.service for owner in owners if owner is not None}
        self._dirty |= services
        return bool(services)

    def explain_ejection(self, target: Target, detail: str, *, is_over: bool) -> None:
        """Why a worker ejected an instance, or why it takes it back before the time is over."""
        if (member := self._member(target)) is None:
            return
        if is_over:
            member.readmission = detail
        else:
            member.ejection, member.readmission = detail, ""

    def is_ejected(self, target: Target) -> bool:
        """Whether some worker has it ejected, as far as is known here."""
        member = self._member(target)
        return member is not None and member.cell in self._ejected

    def drain(self, service: str, address: str, by: str, now: float) -> bool:
        """An operator takes an instance out; False if it was out already. Raises NotKnown."""
        target = Target(service, address)
        if self._drains.get(target) is not None:
            return False
        members = self._members_of(service)
        if address not in members:
            raise unknown_instance(service, address, members)
        members[address].drain = self._drains.begin(target, by, now + self._wall())
        self._dirty.add(service)
        return True

    def undrain(self, service: str, address: str, by: str) -> bool:
        """Puts it back, and lets it off what its flaps amount to; False if it was not drained. Raises NotKnown."""
        ended = self._drains.end(Target(service, address))
        member = self._member(Target(service, address))
        if ended is None and member is None:
            raise unknown_instance(service, address, self._members_of(service))
        if ended is None:
            return False
        if member is not None:
            member.drain, member.undrained_by, member.past.damping = None, by, Damping()
            self._dirty.add(service)
        return True

    def inherit(self, heritage: Heritage) -> None:
        """What the gateway that is being replaced knew, or knows now: its drains hold at once."""
        self._heritage = heritage
        self._drains.replace(heritage.drains)
        for target, member in self.members():
            member.drain = self._drains.get(target)
        self._dirty.update(self._services)

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
        if self._routes.rebuild(self._declared.routes, generation):
            has_changed, self._routes_version = True, next(self._versions)
        if not has_changed:
            return None
        return Snapshot(
            generation=generation,
            accepted_ns=accepted_ns,
            settings_version=self._settings_version,
            settings=self._settings,
            routes_version=self._routes_version,
            routes=self._routes.records,
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
        return instances, self._routes.cells.release(generation, lambda _cell: True)

    def take_news(self) -> list[News]:
        """What `build` changed since this was last asked, in order."""
        news, self._news = self._news, []
        return news

    def take_retargeted(self) -> Collection[Target]:
        """What of `targets` came, went or changed since this was last asked."""
        retargeted, self._retargeted = self._retargeted, {}
        return retargeted

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Declarations that could not be honoured."""
        of_sources = (problem for problems in self._source_problems.values() for problem in problems)
        shortages = (*self._shortages.values(), *filter(None, [self._routes.shortage]))
        open_services = (each for each in self._services.values() if each.is_failing_open)
        fails_open = (Problem(each.spec.origin, each.fail_open_message()) for each in open_services)
        return (*of_sources, *self._declared.problems, *shortages, *fails_open)

    @property
    def is_unprobed(self) -> bool:
        """Is there a provisional instance that no probe has judged yet?"""
        unknown = (member for _, member in self.members() if member.health is Health.UNKNOWN)
        return bool(self._dirty) or any(member.instance.provisional for member in unknown)

    def health(self, target: Target) -> Health:
        """As far as it is known."""
        member = self._member(target)
        return Health.UNKNOWN if member is None else member.health

    def bequeath(self, now: float) -> Heritage:
        """What a successor should know."""
        return Heritage(now, {target: Heirloom.of(each) for target, each in self.members()}, self._drains.all)

    def service_facts(self, in_flight: Callable[[int], int]) -> tuple[ServiceFacts, ...]:
        """`in_flight` counts attempts on an instance cell."""
        return tuple(filter(None, (self.one_service(each.spec.name, in_flight) for each in self._in_order())))

    def service_figures(self) -> tuple[ServiceFigures, ...]:
        return tuple(each.figures() for each in self._in_order())

    def one_service(self, name: str, in_flight: Callable[[int], int]) -> ServiceFacts | None:
        """The same of one, if there is one of this name."""
        if (service := self._services.get(name)) is None:
            return None
        drains = self._drains.facts(name, self.instance_cells, in_flight, service.members)
        return service.facts(self._wall(), drains)

    def route_facts(self) -> tuple[RouteFacts, ...]:
        return self._routes.facts()

    def route_origin(self, record: RouteRecord) -> tuple[str, str]:
        """Where a route comes from, and its tag's options, in words."""
        return self._routes.origin(record)

    def service_cells(self) -> dict[str, list[int]]:
        """The ledger's cells of every service's instances."""
        return {each.spec.name: [member.cell for member in each.members.values()] for each in self._in_order()}

    def _in_order(self) -> Iterator[Service]:
        """Those that are declared, as they are."""
        return (service for name in self._declared.services if (service := self._services.get(name)))

    @property
    def route_cells_high_water(self) -> int:
        """Every cell ever given to a route is below this number."""
        return self._routes.cells.high_water

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
            if service is None or (service.spec is not spec and service.spec != spec):
                self._relist([name])

    def _relist(self, services: Iterable[str]) -> None:
        self._relisted.update(services)
        self._dirty |= self._relisted

    def members(self) -> Iterator[tuple[Target, Member]]:
        """All instances of all services."""
        for name, service in self._services.items():
            for address, member in service.members.items():
                yield Target(name, address), member

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
            for member in service.members.values():
                self._dismiss(name, member, generation, now)
            del self._services[name]
            self._shortages.pop(name, None)
            return True
        if service is None:
            service = self._services[name] = Service(spec, service_record(spec, 0, ()))
        before, service.spec = service.record, spec
        if name in self._relisted:
            self._update_members(service, generation, now)
        self._decide(service, now)
        after = service_record(spec, before.version, service.members.values())
        if after == before and before.version:
            return False
        service.record = replace(after, version=next(self._versions))
        return True

    def _update_members(self, service: Service, generation: int, now: float) -> None:
        """Members come, change and go as the sources say."""
        name = service.spec.name
        self._shortages.pop(name, None)
        listed, before = self._listing.listed(service.spec), service.members
        for address in before.keys() - listed.keys():
            self._dismiss(name, before[address], generation, now)
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
                self._retargeted[target] = None

    def _admit(self, target: Target, instance: Instance, settings: HealthSettings, now: float) -> Member | None:
        try:
            cell = self.instance_cells.admit(target)
        except CellsExhausted as error:
            origin = self._declared.services[target.service].origin
            message = f"service {target.service!r} lacks instances, {target.address} among them: {error}"
            self._shortages[target.service] = Problem(origin, message)
            return None
        past, drain = self._archive.take(target, now), self._drains.get(target)
        member = new_member(instance, cell, now, past, drain, is_exempt=settings.type is ProbeType.NONE)
        self._heritage.restore(target, member, now)
        return member

    def _dismiss(self, service: str, member: Member, generation: int, now: float) -> None:
        target = Target(service, member.instance.address)
        self._news.append(leave(service, member, now, self._wall()))
        self._archive.keep(target, member.past, now)
        self.instance_cells.dismiss(target, generation)
        del self.targets[target]
        self._retargeted[target] = None

    def _decide(self, service: Service, now: float) -> None:
        """Who takes traffic."""
        unanswered = self._listing.unanswered(service.spec, self.sources)
        news, next_change = service.decide(self._ejected, unanswered, now, self._wall())
        self._news += news
        if next_change < math.inf:
            self._next_changes[service.spec.name] = next_change

    def _members_of(self, service: str) -> dict[str, Member]:
        """Raises NotKnown."""
        if (found := self._services.get(service)) is None:
            raise NotKnown(f"There is no service {service!r}.", "service", tuple(self._services))
        return found.members
