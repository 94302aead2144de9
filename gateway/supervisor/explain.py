"""Why a request goes where it goes: the table's reasons, and what a worker's machines make of the request.

Pure. `gateway.proxy.dryrun` lets the very machines have the request; here its result is put into words, route by
route where several share the requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from discovery.model import join_address
from gateway.admin.explanation import (
    Asked,
    BalanceExplained,
    Changes,
    ConsideredRoute,
    Explained,
    InstanceExplained,
    Limits,
    NotExplained,
    RouteExplained,
)
from gateway.admin.facts import InstanceFacts, ServiceFacts
from gateway.admin.words import rfc3339
from gateway.config.secrets import shown
from gateway.h1.request import parse_request_head
from gateway.proxy.dryrun import DryRun, dry_run
from gateway.proxy.retry import IDEMPOTENT
from gateway.routing.explain import Considered, Explanation, Near, near, shares
from gateway.routing.explain import explain as explain_route
from gateway.routing.table import compile_table
from gateway.snapshot.model import RouteRecord, ServiceRecord, Snapshot
from gateway.supervisor.asking import Request, read

MADE: Final = ("x-request-id", "traceparent")  # another one for each request
NEW: Final = "(a new one)"
FIXED_SHARES: Final = ("weighted", "random", "hash")
RULES: Final = {
    "least_connections": "the fewest requests in flight for its weight, over all workers",
    "least_latency": "the lowest latency times requests in flight, for its weight",
    "weighted": "in turn, in proportion to weights",
    "round_robin": "in turn, whatever the weights",
    "random": "by chance, in proportion to weights",
    "hash": "the same instance for the same key",
}


@dataclass(frozen=True, slots=True)
class Known:
    """What the explanation is made of, as of one moment."""

    snapshot: Snapshot  # in force
    services: Sequence[ServiceFacts]
    origin_of: Callable[[RouteRecord], tuple[str, str]]  # origin and tag options, in words
    in_flight: Callable[[int], int]  # requests on an instance, by its cell
    listen: str  # where clients reach the gateway
    now: float  # CLOCK_MONOTONIC, seconds


def explain(asked: Asked, known: Known) -> Explained:
    """All about one request. Raises NotExplained."""
    request = read(asked, known.listen)
    snapshot = known.snapshot
    found = _try(request, (), known)  # as far as no route matters
    if not found.is_understood and found.reason is not None:
        why = f"{found.reason.status} {found.reason.slug}" + (f" ({found.detail})" if found.detail else "")
        raise NotExplained(found.reason.slug, f"The gateway refuses such a request with {why}: {found.reason.sentence}")
    head = parse_request_head(request.head, len(request.head), request.head.count(b"\n"))
    host = head.fields.host
    told = explain_route(compile_table(snapshot.routes), host, head.path, head.method, head.fields.host_field)
    considered: tuple[Considered, ...] = ()
    missed: tuple[Near, ...] = ()
    routes: list[RouteExplained] = []
    is_own = found.reason is None
    if not is_own:
        considered = told.considered
        # In this order, as of two equal ones the earlier counts; those that do not match cannot matter.
        matching = {id(each.route) for each in considered}
        every = [route for route in snapshot.routes if id(route) in matching]
        found = _try(request, every, known)
        routes = _routes(request, told.split, found, every, known)
        if told.route is None or not told.route.host:
            has_pattern = told.route is not None or bool(told.allow)
            missed = near(snapshot.routes, told, host.decode("latin-1"), asked.method, elsewhere_only=has_pattern)
    outcome, status = _outcome(found)
    return Explained(
        generation=snapshot.generation,
        method=asked.method,
        host=head.fields.host_field.decode("latin-1"),
        host_assumed=request.host_assumed,
        client=request.client,
        client_assumed=not asked.client,
        path=told.path,
        outcome="answered" if is_own else outcome,
        status=status,
        reason="" if found.reason is None else found.reason.slug,
        detail="a path of the gateway's own, answered before any route" if is_own else found.detail,
        allow=told.allow.split(", ") if told.allow else [],
        routes=routes,
        considered=[_of_table(each, told, found, known) for each in considered],
        near=[_considered(each.route, each.route.host, each.route.path, each.reason, known) for each in missed],
    )


def _try(request: Request, routes: Sequence[RouteRecord], known: Known) -> DryRun:
    return dry_run(
        request.head,
        request.client,
        settings=known.snapshot.settings,
        routes=routes,
        services=known.snapshot.services,
        in_flight=known.in_flight,
        now=known.now,
    )


def _routes(
    request: Request, split: Sequence[RouteRecord], first: DryRun, every: Sequence[RouteRecord], known: Known
) -> list[RouteExplained]:
    """The routes that take the request; each of a split is tried as if it were its turn."""
    if not split:
        return [] if first.route is None else [_route(request, first.route, first, 1.0, known)]
    counts = [len(_candidates(route, known)) for route in split]
    explained: list[RouteExplained] = []
    for route, share in zip(split, shares(split, counts), strict=True):
        found = _try(request, [each for each in every if each is route or not _is_in(each, split)], known)
        explained.append(_route(request, found.route or route, found, share, known))
    return explained


def _is_in(route: RouteRecord, routes: Iterable[RouteRecord]) -> bool:
    return any(each is route for each in routes)


def _route(request: Request, route: RouteRecord, found: DryRun, share: float, known: Known) -> RouteExplained:
    origin, options = known.origin_of(route)
    record, facts = _service(route, known)
    outcome, status = _outcome(found)
    return RouteExplained(
        path=route.path,
        host=route.host,
        methods=list(route.methods),
        service=route.service,
        origin=origin,
        options=options,
        share=round(share, 4),
        outcome=outcome,
        status=status,
        reason="" if found.reason is None else found.reason.slug,
        detail=found.detail,
        location=_field(found.answer, "location"),
        changes=_changes(request.head, found.forwarded, route),
        limits=_limits(route, record, request.method),
        balance=_balance(record, found),
        instances=_instances(route, record, facts, known),
    )


def _outcome(found: DryRun) -> tuple[str, int | None]:
    if found.forwarded:
        return "forwarded", None
    status = int(found.answer.split(b" ", 2)[1])
    return ("redirected" if found.reason is None else "refused"), status


def _service(route: RouteRecord, known: Known) -> tuple[ServiceRecord, dict[str, InstanceFacts]]:
    record = next(each for each in known.snapshot.services if each.name == route.service)
    facts = next((each.instances for each in known.services if each.name == route.service), ())
    return record, {each.address: each for each in facts}


def _candidates(route: RouteRecord, known: Known) -> list[str]:
    """The addresses of the route's eligible instances."""
    record, _ = _service(route, known)
    only = route.share.instances if route.share is not None else ()
    return [
        each.address
        for each in record.instances
        if each.eligible and (not only or join_address(each.name or each.host, each.port) in only)
    ]


def _instances(
    route: RouteRecord, record: ServiceRecord, facts: dict[str, InstanceFacts], known: Known
) -> list[InstanceExplained]:
    eligible = _candidates(route, known)
    load = {each.address: known.in_flight(each.cell) for each in record.instances}
    full = [address for address in eligible if record.max_in_flight and load[address] >= record.max_in_flight]
    candidates = [address for address in eligible if address not in full]
    weights = {each.address: each.weight for each in record.instances if each.address in candidates}
    explained: list[InstanceExplained] = []
    for each in record.instances:
        fact = facts.get(each.address)
        detail = "" if fact is None else fact.detail
        if each.address in full:
            detail = f"at max_in_flight = {record.max_in_flight}"
        elif each.eligible and each.address not in eligible:
            detail = "the route's tag is that of another instance"
        share: float | None = None
        if each.address not in candidates:
            share = 0.0
        elif record.balance in FIXED_SHARES:
            share = round(each.weight / sum(weights.values()), 4)
        elif record.balance == "round_robin":
            share = round(1 / len(candidates), 4)
        explained.append(
            InstanceExplained(
                address=each.address,
                name=each.name,
                candidate=each.address in candidates,
                share=share,
                weight=each.weight,
                in_flight=load[each.address],
                reason=each.standby.slug,
                detail=detail,
                since="" if fact is None else rfc3339(fact.since),
                until=None if fact is None or fact.until is None else rfc3339(fact.until),
            )
        )
    return explained


def _balance(record: ServiceRecord, found: DryRun) -> BalanceExplained:
    is_hash = record.balance == "hash"
    return BalanceExplained(
        policy=record.balance,
        hash_on=record.hash_on if is_hash else "",
        next=found.instance if is_hash else "",
        rule=RULES[record.balance],
    )


def _limits(route: RouteRecord, record: ServiceRecord, method: str) -> Limits:
    if not route.retry_count:
        retries = "nothing is repeated"
    elif method.encode("latin-1") in IDEMPOTENT:
        retries = f"up to {route.retry_count} further attempts, on other instances first"
    else:
        retries = (
            f"up to {route.retry_count} further attempts after failures to connect only, as {method} may act twice"
        )
    return Limits(
        timeout=route.timeout,
        per_try_timeout=route.per_try_timeout,
        connect_timeout=record.connect_timeout,
        stream_idle_timeout=route.stream_idle_timeout,
        retry_count=route.retry_count,
        retries=retries,
        max_in_flight=record.max_in_flight,
    )


def _changes(sent: bytes, forwarded: bytes, route: RouteRecord) -> Changes:
    """What differs between the head that came and the one that goes on."""
    handling = route.handling
    access = ""
    if handling.allow:
        access = f"only clients of {', '.join(handling.allow)}"
    elif handling.deny:
        access = f"no clients of {', '.join(handling.deny)}"
    before = _target(sent)
    if not forwarded:
        return Changes(target=before, target_changed=False, added=[], removed=[], access=access)
    had, has = _fields(sent), _fields(forwarded)
    return Changes(
        target=_target(forwarded),
        target_changed=_target(forwarded) != before,
        added=[
            [name, NEW if name.lower() in MADE and not _names(had, name) else shown(name, value)]
            for name, value in has
            if (name.lower(), value) not in [(each.lower(), other) for each, other in had]
        ],
        removed=sorted({name for name, _ in had if not _names(has, name)}),
        access=access,
    )


def _target(head: bytes) -> str:
    return head.split(b" ", 2)[1].decode("latin-1")


def _fields(head: bytes) -> list[tuple[str, str]]:
    """Names and values, in order."""
    lines = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines)
    return [(name, value.strip(" \t")) for name, _, value in pairs]


def _names(fields: Iterable[tuple[str, str]], name: str) -> bool:
    return any(each.lower() == name.lower() for each, _ in fields)


def _field(head: bytes, name: str) -> str:
    return next((value for each, value in _fields(head) if each.lower() == name), "") if head else ""


def _of_table(each: Considered, told: Explanation, first: DryRun, known: Known) -> ConsideredRoute:
    """What the table says of a route, unless the one it chose passed the request on (see `gateway.proxy.gate`)."""
    chosen, reason = each.is_chosen, each.reason
    if each.route is not None and not told.split and first.route is not told.route:
        if each.route is told.route:
            chosen, reason = False, "its redirect leads to where the request is already, so it passes the request on"
        elif each.route is first.route:
            chosen, reason = True, "takes what the redirect passed on"
    return _considered(each.route, each.host, each.pattern, reason, known, chosen=chosen)


def _considered(
    route: RouteRecord | None, host: str, pattern: str, reason: str, known: Known, *, chosen: bool = False
) -> ConsideredRoute:
    return ConsideredRoute(
        path=pattern,
        host=host,
        methods=[] if route is None else list(route.methods),
        service="" if route is None else route.service,
        origin="" if route is None else known.origin_of(route)[0],
        chosen=chosen,
        reason=reason,
    )
