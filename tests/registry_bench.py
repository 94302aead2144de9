"""A registry with a clock and generations of its own, for tests: events in, snapshots out."""

from __future__ import annotations

from dataclasses import replace

from discovery.model import Instance, Origin, OriginKind, RouteSpec, ServiceSpec, StaticTarget
from discovery.source import Answer
from gateway.admin.facts import InstanceFacts
from gateway.config.load import load
from gateway.snapshot.model import ServiceRecord, Snapshot, Standby
from gateway.supervisor.registry import Registry
from gateway.supervisor.service import News
from healthcheck.model import Health, Target, Transition

FILE = Origin(OriginKind.FILE, "gateway.toml services[0]")
TAG = Origin(OriginKind.TAG, "service web, instance web-1, tag gw.path=/web/*")
SETTINGS = load(None, environ={}).worker_settings()
ONE = Instance("10.0.0.1", 80)
TWO = Instance("10.0.0.2", 80)


def static_service(name: str = "web", **settings: object) -> ServiceSpec:
    return replace(ServiceSpec(name, FILE, targets=(StaticTarget("10.0.0.1", 80),)), **settings)  # type: ignore[arg-type]


def consul_service(name: str = "web", consul: str = "web") -> ServiceSpec:
    return ServiceSpec(name, FILE, consul=consul)


def route(path: str = "/web/*", service: str = "web", origin: Origin = FILE) -> RouteSpec:
    return RouteSpec(path, service, origin)


class Bench:
    """A registry, its clock and its generations."""

    def __init__(self, *services: ServiceSpec, routes: tuple[RouteSpec, ...] = (), instance_cells: int = 64) -> None:
        self.registry = Registry(wall=lambda: 1000.0, instance_cells=instance_cells, route_cells=64)
        self.now = 0.0
        self.generation = 0
        self.latest: Snapshot | None = None
        self.configure(*services, routes=routes)
        self.build()

    def configure(self, *services: ServiceSpec, routes: tuple[RouteSpec, ...] = ()) -> None:
        self.registry.apply_config(services, routes, SETTINGS)

    def build(self) -> Snapshot | None:
        built = self.registry.build(self.generation + 1, 1, self.now)
        if built is not None:
            self.generation, self.latest = built.generation, built
        return built

    def answer(self, *instances: Instance, source: str = "static", service: str = "web") -> None:
        self.registry.apply_event(Answer(source, service, instances))

    def turn(self, health: Health, instance: Instance = ONE, *, service: str = "web") -> None:
        target = Target(service, instance.address)
        self.registry.apply_transition(Transition(target, Health.UNKNOWN, health, health, 0.0), self.now)

    def service(self, name: str = "web") -> ServiceRecord:
        assert self.latest is not None
        return next(service for service in self.latest.services if service.name == name)

    def standbys(self, name: str = "web") -> dict[str, Standby]:
        return {each.address: each.standby for each in self.service(name).instances}

    def facts(self, instance: Instance = ONE, name: str = "web") -> InstanceFacts:
        services = {each.name: each for each in self.registry.service_facts(lambda _cell: 0)}
        return {each.address: each for each in services[name].instances}[instance.address]

    def path(self, instance: Instance = ONE) -> list[tuple[str, str, str]]:
        """Its history: to which reason, by whom, why."""
        return [(each.after, each.who, each.reason) for each in self.facts(instance).history]

    def news(self) -> list[News]:
        return self.registry.take_news()
