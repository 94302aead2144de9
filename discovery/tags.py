"""The tags of one Consul service as routes and options. Pure.

- A tag prefix ending in "-" is read as Fabio's (`urlprefix-host/path strip=/path`, see `urlprefix`), any
  other as the gateway's own: KEY=VALUE with the keys of [[routes]] (`path` and `host` may repeat,
  `headers.NAME`) and of [[services]] (`balance`...).
- `health.` keys are about their own instance: see `health_tags`. Here they are only looked at for faults.
- Every `path` of an instance is combined with every `host` and all else that the same instance says.
- All instances contribute. The same route of several is one; where they differ, the first by id wins.
- A tag that is not understood costs its own instance's routes, and is a Problem that names it. If it may
  have been meant to close something (an unknown key, methods), then the same route of other instances is
  refused too, as their traffic would reach this instance all the same.
- A bad option of the service is a Problem and left out: it opens nothing.
- A tag of Fabio's makes its own instance a target of its route, and no other instance: `fabio_tags`.
- A refused route stays in the table as such, so that no less specific route gets its requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from discovery import grammar
from discovery.fabio_tags import FabioTags
from discovery.grammar import seconds, whole, word
from discovery.health_tags import is_health_key, read_health_tag
from discovery.model import Origin, OriginKind, Problem, RouteSpec

Key: TypeAlias = tuple[str, str]  # host, path

_ROUTE_KEYS: Final[dict[str, Callable[[str], object]]] = {
    "methods": grammar.read_methods,
    "strip_path": grammar.read_flag,
    "timeout": seconds(0, 86400, above=True),
    "per_try_timeout": seconds(0, 86400),
    "stream_idle_timeout": seconds(0, 86400, above=True),
    "retry_count": whole(0, 100),
}

_OPTION_KEYS: Final[dict[str, Callable[[str], object]]] = {
    "balance": word("least_connections", "weighted", "round_robin", "random", "least_latency", "hash"),
    "hash_on": grammar.read_hash_on,
    "failover": grammar.read_datacenters,
    "connect_timeout": seconds(0, 3600, above=True),
    "max_in_flight": whole(0, 1000000),
    "keepalive_idle": seconds(0, 3600),
    "slow_start": seconds(0, 3600),
    "fail_open_below": whole(0, 100),
    "outlier.consecutive_failures": whole(1, 1000000),
    "outlier.eject_time": seconds(0, 300, above=True),
    "outlier.max_ejected_percent": whole(0, 100),
}


@dataclass(frozen=True, slots=True)
class InstanceTags:
    """The tags of one instance."""

    instance: str  # its service id
    tags: tuple[str, ...]
    authority: str = ""  # host:port as registered


@dataclass(frozen=True, slots=True)
class TagReading:
    """What the tags of a service ask for."""

    routes: tuple[RouteSpec, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(slots=True)
class _Contribution:
    """What one instance's tags say, while they are read."""

    service: str
    instance: str
    paths: list[tuple[str, str]] = field(default_factory=list)  # path, tag
    hosts: dict[str, str] = field(default_factory=dict)  # host -> tag
    values: dict[str, tuple[object, str]] = field(default_factory=dict)  # key of a route -> value, tag
    headers: dict[str, tuple[str, str]] = field(default_factory=dict)  # lower name -> name, value
    options: dict[str, tuple[str, str]] = field(default_factory=dict)  # key -> value as text, tag
    health: dict[str, tuple[object, str]] = field(default_factory=dict)  # field of HealthSettings -> value, tag
    routes: list[RouteSpec] = field(default_factory=list)
    closed: dict[Key, str] = field(default_factory=dict)  # refused for every instance -> tag
    problems: list[Problem] = field(default_factory=list)
    bad_tags: list[str] = field(default_factory=list)  # gw tags that cost the instance's gw routes
    closing_tag: str = ""  # the first of those that may have been meant to close something

    def origin(self, tag: str) -> Origin:
        return Origin(OriginKind.TAG, f"service {self.service}, instance {self.instance}, tag {tag}")

    def report(self, tag: str, message: str) -> None:
        self.problems.append(Problem(self.origin(tag), message))

    def spoil(self, tag: str, message: str, *, closes: bool) -> None:
        """A gw tag that costs the instance's gw routes."""
        self.report(tag, f"{message}; the routes of this instance's tags are refused")
        self.bad_tags.append(tag)
        if closes and not self.closing_tag:
            self.closing_tag = tag


def read_tags(service: str, instances: Iterable[InstanceTags], prefixes: Sequence[str]) -> TagReading:
    """What all instances' tags with one of the prefixes ask for; never raises for what a tag says."""
    ordered = sorted(instances, key=lambda each: (each.instance, each.tags))
    fabio = FabioTags(service, [each.authority for each in ordered])
    contributions = [_read_instance(service, each, prefixes, fabio) for each in ordered]
    problems = [*fabio.problems, *(problem for each in contributions for problem in each.problems)]
    closed: dict[Key, str] = dict(fabio.closed)
    for each in contributions:
        for key, tag in each.closed.items():
            closed.setdefault(key, f"instance {each.instance}, tag {tag}")
    routes: dict[Key, RouteSpec] = {}
    for each in contributions:
        for route in each.routes:
            _add_route(route, routes, closed, problems)
    refused = [
        RouteSpec(path, service, each.origin(tag), host=host, is_refused=True)
        for each in contributions
        for (host, path), tag in each.closed.items()
    ]
    options = _merge_options(contributions, problems)
    return TagReading((*routes.values(), *fabio.routes(), *refused), options, tuple(dict.fromkeys(problems)))


def _add_route(route: RouteSpec, routes: dict[Key, RouteSpec], closed: dict[Key, str], problems: list[Problem]) -> None:
    key = (route.host, route.path)
    first = routes.get(key)
    if key in closed:
        problems.append(Problem(route.origin, f"route {_name(key)} is refused, as {closed[key]} was to close it"))
    elif first is None:
        routes[key] = route
    elif replace(route, origin=first.origin) != first:
        problems.append(Problem(route.origin, f"route {_name(key)} differs from that of {first.origin}, which wins"))


def _name(key: Key) -> str:
    return "".join(key)


def _merge_options(contributions: list[_Contribution], problems: list[Problem]) -> tuple[tuple[str, str], ...]:
    merged: dict[str, tuple[str, Origin]] = {}
    for each in contributions:
        for key, (value, tag) in each.options.items():
            first = merged.setdefault(key, (value, each.origin(tag)))
            if first[0] != value:
                problems.append(Problem(each.origin(tag), f"{key} differs from that of {first[1]}, which wins"))
    return tuple((key, merged[key][0]) for key in sorted(merged))


def _read_instance(service: str, tagged: InstanceTags, prefixes: Sequence[str], fabio: FabioTags) -> _Contribution:
    it = _Contribution(service, tagged.instance)
    for tag in dict.fromkeys(each.strip() for each in tagged.tags):
        prefix = max((each for each in prefixes if tag.startswith(each)), key=len, default=None)
        if prefix is None:
            continue
        text = tag[len(prefix) :]
        if prefix.endswith("-"):
            fabio.read(tagged.instance, tagged.authority, tag, text)
        else:
            _read_own(it, tag, text)
    _make_routes(it)
    return it


def _read_own(it: _Contribution, tag: str, text: str) -> None:
    key, equals, value = (part.strip() for part in text.partition("="))
    if is_health_key(key):
        _read_health(it, tag, key, value)
    elif not equals:
        it.spoil(tag, "is not understood: it must be KEY=VALUE", closes=True)
    elif key in _OPTION_KEYS:
        _read_option(it, tag, key, value)
    elif key == "path":
        try:
            it.paths.append((grammar.read_path(value), tag))
        except ValueError as error:
            it.report(tag, f"path {error}; its route is refused")
    else:
        _read_route_key(it, tag, key, value)


def _read_option(it: _Contribution, tag: str, key: str, value: str) -> None:
    try:
        text = _plain(_OPTION_KEYS[key](value))
    except ValueError as error:
        it.report(tag, f"{key} {error}; it is left out")
        return
    first = it.options.setdefault(key, (text, tag))
    if first[0] != text:
        it.report(tag, f"{key} is said before, by tag {first[1]}, which wins")


def _read_health(it: _Contribution, tag: str, key: str, value: str) -> None:
    try:
        name, read = read_health_tag(key, value)
    except ValueError as error:
        it.report(tag, f"{key} {error}; it is left out")
        return
    if name == "headers":
        name = key.lower()
    first, first_tag = it.health.setdefault(name, (read, tag))
    if first != read:
        it.report(tag, f"{key} is said before, by tag {first_tag}, which wins")


def _plain(value: object) -> str:
    """An option's value as text; the reader has put it into its normal form, so that equal means equal."""
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _read_route_key(it: _Contribution, tag: str, key: str, value: str) -> None:
    try:
        if key == "host":
            it.hosts.setdefault(grammar.read_host(value), tag)
        elif key.startswith("headers."):
            name, content = grammar.read_header(key.removeprefix("headers."), value)
            if it.headers.setdefault(name.lower(), (name, content)) != (name, content):
                raise ValueError("must not be said twice")
        elif key in _ROUTE_KEYS:
            read = _ROUTE_KEYS[key](value)
            if it.values.setdefault(key, (read, tag))[0] != read:
                raise ValueError(f"must not be said twice (tag {it.values[key][1]})")
        else:
            it.spoil(tag, f"is not understood: no key {key}", closes=True)
    except ValueError as error:
        it.spoil(tag, f"{key} {error}", closes=key in ("methods", "host"))


def _make_routes(it: _Contribution) -> None:
    """Every path with every host, unless a tag has spoilt them all."""
    hosts = it.hosts or {"": ""}
    if not it.paths:
        for host, tag in it.hosts.items():
            it.report(tag, f"host {host} has no path: add a tag path=/* to route all of it")
        return
    if it.bad_tags:
        if it.closing_tag:
            it.closed.update({(host, path): it.closing_tag for path, _ in it.paths for host in hosts})
        return
    values = {key: value for key, (value, _) in it.values.items()}
    for path, tag in it.paths:
        for host in hosts:
            route = RouteSpec(path, it.service, it.origin(tag), host=host, headers=tuple(it.headers.values()))
            it.routes.append(replace(route, **values))  # type: ignore[arg-type]  # each reader gives its field's type
