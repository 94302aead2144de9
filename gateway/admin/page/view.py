"""What the page shows of what is known: which services and instances, in which order, and the words for them. Pure.

Trouble comes first. One page holds at most PER_PAGE services and INSTANCE_BUDGET instances, so that its size does not
grow with the gateway's; `?page=`, `?q=` and `?service=` lead to the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from discovery.model import Problem
from discovery.source import SourceState
from gateway.admin import status
from gateway.admin.facts import Access, Facts, InstanceFacts, RouteFacts, ServiceFacts
from gateway.admin.page.charts import Chart, chart
from gateway.admin.page.figures import Figure, gateway_figures, recent, service_figures
from gateway.admin.process import Usage
from gateway.admin.series import Series
from gateway.admin.words import age, duration, rate
from gateway.shm.ledger import Ledger

PER_PAGE: Final = 50  # services
PER_SERVICE: Final = 20  # instances, where several services are shown
INSTANCE_BUDGET: Final = 300  # of one page
ALL_INSTANCES: Final = 1000  # of a service on its own page
SHOWN_ROUTES: Final = 200
SHOWN_PROBLEMS: Final = 50
SPARK_SECONDS: Final = 120
ODD_BUT_USED: Final = ("fail_open", "provisional")
BAD: Final = ("unhealthy", "critical", "ejected")
_ORDER: Final = {"bad": 0, "warn": 1, "off": 2, "good": 3}
Tone = str  # "good", "warn", "bad", "off"


@dataclass(frozen=True, slots=True)
class Query:
    """What of it somebody wants to see."""

    text: str = ""  # in names, addresses, reasons and routes; "" for everything
    page: int = 1
    service: str = ""  # this one alone, with all its instances


@dataclass(frozen=True, slots=True)
class InstanceView:
    """A row of a service's table."""

    key: str  # unique on the page
    tone: Tone
    state: str  # a word
    why: str
    facts: status.InstanceStatus
    since: str
    until: str  # "" if it does not end by itself
    rate: str
    latency: str
    is_drained: bool


@dataclass(frozen=True, slots=True)
class ServiceView:
    """A service with as many of its instances as there is room for."""

    key: str
    tone: Tone
    state: str
    facts: ServiceFacts
    instances: tuple[InstanceView, ...]
    hidden: int  # instances without room
    rate: str
    failures: str
    latency: str
    spark: Chart
    charts: tuple[Figure, ...]  # on its own page
    orphans: tuple[str, ...]  # addresses that are drained, though discovery knows no instance there


@dataclass(frozen=True, slots=True)
class Services:
    """Those that are shown, and how many there are."""

    shown: tuple[ServiceView, ...]
    found: int
    total: int
    troubled: int
    page: int
    pages: int


@dataclass(frozen=True, slots=True)
class Source:
    """One source of instances, in words."""

    tone: Tone
    text: str


@dataclass(frozen=True, slots=True)
class View:
    """All of the page."""

    facts: Facts
    query: Query
    access: Access
    uptime: float
    tone: Tone
    state: str
    reasons: tuple[str, ...]
    sources: tuple[Source, ...]
    figures: tuple[Figure, ...]
    in_flight: int
    connections: int
    requests_total: int
    services: Services
    routes: tuple[status.RouteStatus, ...]
    routes_found: int
    workers: tuple[status.WorkerStatus, ...]
    problems: tuple[Problem, ...]
    problems_found: int

    @property
    def summary(self) -> str:
        """One sentence: what a change of is worth being told."""
        parts = [f"Gateway {self.state}"]
        if self.services.troubled:
            parts.append(f"{self.services.troubled} of {self.services.total} services need a look")
        if self.problems_found:
            parts.append(f"{self.problems_found} {'problem' if self.problems_found == 1 else 'problems'}")
        return ". ".join(parts) + "."


def view(
    facts: Facts,
    ledger: Ledger,
    series: Series,
    access: Access,
    query: Query,
    usage: Callable[[int], Usage],
    now: float,
) -> View:
    """`now` is Unix seconds."""
    routes = [each for each in facts.routes if _is_route_wanted(each, query)]
    problems = facts.problems
    totals = ledger.totals()
    tone, state = ("warn", "draining") if facts.draining else ("good", "ready") if facts.ready else ("bad", "not ready")
    return View(
        facts=facts,
        query=query,
        access=access,
        uptime=now - facts.started_at,
        tone=tone,
        state=state,
        reasons=() if facts.ready else facts.not_ready,
        sources=tuple(_source(each, now) for each in facts.discovery),
        figures=() if query.service else gateway_figures(series),
        in_flight=totals.in_flight,
        connections=totals.connections,
        requests_total=totals.requests_total,
        services=_services(facts, ledger, series, query, now),
        routes=tuple(status.route_status(each, ledger) for each in routes[:SHOWN_ROUTES]),
        routes_found=len(routes),
        workers=tuple(status.worker_status(each, ledger, usage) for each in facts.workers),
        problems=problems[:SHOWN_PROBLEMS],
        problems_found=len(problems),
    )


# --- services -----------------------------------------------------------------------------------


def instance_tone(instance: InstanceFacts) -> Tone:
    """How bad it is: "good" takes traffic, "off" does not and is not meant to."""
    if instance.eligible:
        return "warn" if instance.reason in ODD_BUT_USED else "good"
    if instance.reason in BAD:
        return "bad"
    return "off" if instance.reason in ("reserve", "draining", "maintenance", "zero_weight") else "warn"


def service_tone(service: ServiceFacts) -> tuple[Tone, str]:
    """How bad it is, and a few words."""
    instances = service.instances
    used = sum(each.eligible for each in instances)
    if not instances:
        return "bad", "no instances"
    text = f"{used} of {len(instances)} take traffic"
    if service.is_failing_open:
        return "bad", f"fails open, {text}"
    if not used:
        return "bad", "none takes traffic"
    tones = {instance_tone(each) for each in instances}
    return "warn" if tones & {"bad", "warn"} else "good", text


def _services(facts: Facts, ledger: Ledger, series: Series, query: Query, now: float) -> Services:
    judged = [(service_tone(each), each) for each in facts.services]
    found = [(verdict, each) for verdict, each in judged if _is_wanted(each, facts.routes, query)]
    found.sort(key=lambda pair: _ORDER[pair[0][0]])
    pages = max(1, -(-len(found) // PER_PAGE))
    page = min(max(1, query.page), pages)
    is_alone = bool(query.service) and len(found) == 1
    budget = ALL_INSTANCES if is_alone else INSTANCE_BUDGET
    shown: list[ServiceView] = []
    for verdict, each in found[(page - 1) * PER_PAGE : page * PER_PAGE]:
        room = min(budget, ALL_INSTANCES if is_alone else PER_SERVICE)
        shown.append(_service(each, verdict, room, is_alone, ledger, series, now))
        budget -= len(shown[-1].instances)
    troubled = sum(tone in ("bad", "warn") for (tone, _), _ in judged)
    return Services(tuple(shown), len(found), len(judged), troubled, page, pages)


def _service(
    service: ServiceFacts,
    verdict: tuple[Tone, str],
    room: int,
    is_alone: bool,
    ledger: Ledger,
    series: Series,
    now: float,
) -> ServiceView:
    ordered = sorted(service.instances, key=lambda each: _ORDER[instance_tone(each)])
    drained = {each.address for each in service.drains}
    requests, failures, latency = (
        series.service(service.name, field, SPARK_SECONDS)
        for field in ("requests_per_second", "failures_per_second", "latency_seconds")
    )
    curves = [("main", "requests/s", requests), *([("bad", "failed/s", failures)] if any(failures) else [])]
    spark = chart(curves, points=SPARK_SECONDS // 2, samples=SPARK_SECONDS, least_top=1.0, end=series.taken)
    return ServiceView(
        key=f"service-{service.name}",
        tone=verdict[0],
        state=verdict[1],
        facts=service,
        instances=tuple(_instance(service.name, each, drained, ledger, series, now) for each in ordered[:room]),
        hidden=max(0, len(ordered) - room),
        rate=rate(recent(requests) or 0.0),
        failures=rate(recent(failures) or 0.0),
        latency=duration(recent(latency)),
        spark=spark,
        charts=service_figures(series, service.name) if is_alone else (),
        orphans=tuple(each.address for each in service.drains if not each.is_listed),
    )


def _instance(
    service: str, facts: InstanceFacts, drained: set[str], ledger: Ledger, series: Series, now: float
) -> InstanceView:
    per_second, latency = series.instance(facts.cell)
    return InstanceView(
        key=f"instance-{service}-{facts.address}",
        tone=instance_tone(facts),
        state=facts.health if facts.reason == "eligible" else facts.reason.replace("_", " "),
        why=facts.detail,
        facts=status.instance_status(facts, ledger.instance_totals(facts.cell)),
        since=age(now - facts.since),
        until="" if facts.until is None else age(facts.until - now),
        rate=rate(per_second),
        latency=duration(latency),
        is_drained=facts.address in drained,
    )


def _is_wanted(service: ServiceFacts, routes: Iterable[RouteFacts], query: Query) -> bool:
    if query.service:
        return service.name == query.service
    wanted = query.text.lower()
    if not wanted or wanted in service.name.lower():
        return True
    if any(
        wanted in each.address or wanted in each.name.lower() or wanted in (each.reason, each.health)
        for each in service.instances
    ):
        return True
    return any(wanted in (each.host + each.path).lower() for each in routes if each.service == service.name)


def _is_route_wanted(route: RouteFacts, query: Query) -> bool:
    if query.service:
        return route.service == query.service
    wanted = query.text.lower()
    return not wanted or wanted in (route.host + route.path).lower() or wanted in route.service.lower()


# --- the rest -----------------------------------------------------------------------------------


def _source(source: SourceState, now: float) -> Source:
    if source.stale:
        since = "its start" if source.stale_since is None else age(now - source.stale_since)
        heard = "never answered" if source.last_success is None else f"last answer {age(now - source.last_success)} ago"
        error = f": {source.error}" if source.error else ""
        return Source("warn", f"{source.source} stale for {since} ({heard}){error}")
    if source.last_success is None:
        return Source("warn", f"{source.source} waiting for its first answer")
    return Source("good", f"{source.source} fresh")
