"""Why a request takes the route it takes: the table's own answer, with what else was considered, and what was near."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Final

from gateway.routing.compiled import CompiledRoute, Leaf, Matched, MethodNotAllowed
from gateway.routing.match import HostTable, RouteTable
from gateway.routing.normal import normal_path
from gateway.routing.split import parts
from gateway.routing.table import compile_table
from gateway.snapshot.model import RouteRecord

NEAR: Final = 5  # routes named at most, of each kind of nearness
_SLACK: Final = 8  # bytes of a path beyond the length of a pattern that are compared with it
_ALIKE: Final = 0.6  # of the texts of a path and a pattern, by difflib's measure, from where they may be a slip


@dataclass(frozen=True, slots=True)
class Considered:
    """One route, or one host without a matching pattern (`route` is None), and what came of it."""

    host: str  # "" for any
    pattern: str  # "" when no pattern of the host matches
    route: RouteRecord | None
    is_chosen: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer for one request; `considered` is in order of precedence."""

    path: str  # as it was matched
    route: RouteRecord | None  # of a split the first
    split: tuple[RouteRecord, ...]  # all routes that share the request's pattern; none: it has one route alone
    allow: str  # for 405: the methods that the matching pattern takes
    considered: tuple[Considered, ...]


@dataclass(frozen=True, slots=True)
class Near:
    """A route that the request just misses, and by what."""

    route: RouteRecord
    reason: str


def explain(table: RouteTable, host: bytes, path: bytes, method: bytes, host_field: bytes = b"") -> Explanation:
    """What `table.match` answers, and why. Arguments as for `match`, and the Host as the client writes it."""
    host_field = host_field or host
    answer = table.match_port(host, host_field, path, method) or table.match(host, path, method)
    sharing = _split(answer)
    matched_as = normal_path(path)
    considered: list[Considered] = []
    winner: Leaf | None = None
    for host_table in table.chain(host, host_field):
        leaves = host_table.leaves(matched_as)
        if not leaves:
            considered.append(Considered(host_table.host, "", None, False, _no_pattern(host_table)))
        for leaf in leaves:
            winner = winner or leaf
            considered += _routes(host_table, leaf, winner, answer, sharing, method.decode("latin-1"))
    return Explanation(
        path=matched_as.decode("latin-1"),
        route=answer.record if isinstance(answer, CompiledRoute) else None,
        split=tuple(route.record for route in sharing),
        allow=answer.allow.decode("latin-1") if isinstance(answer, MethodNotAllowed) else "",
        considered=tuple(considered),
    )


def shares(split: Sequence[RouteRecord], counts: Sequence[int]) -> list[float]:
    """Each route's part of the requests of a split, from the eligible instances of each."""
    return parts([0.0 if route.share is None else route.share.fraction for route in split], counts)


def near(
    routes: Sequence[RouteRecord], told: Explanation, host: str, method: str, *, elsewhere_only: bool
) -> tuple[Near, ...]:
    """Routes that the request just misses: those of other hosts that would match it, then those with a similar path.

    elsewhere_only: leave the similar paths out, as the request has a route of its own.
    """
    considered = {each.host for each in told.considered}
    foreign = {each.host for each in routes if each.host and each.host.lower() not in considered}
    found: list[Near] = []
    for each in _matching([route for route in routes if route.host in foreign], told.path):
        takes = not each.methods or method in each.methods
        but = "" if takes else f", and takes {', '.join(each.methods)}, not {method}"
        found.append(Near(each, f"is for host {each.host}, not {host or 'a request without host'}{but}"))
    found = found[:NEAR]
    if not elsewhere_only:
        found += _similar([route for route in routes if route.host not in foreign], told.path)
    return tuple(found)


def _matching(routes: Sequence[RouteRecord], path: str) -> list[RouteRecord]:
    """Those whose pattern matches the path, whatever their host; the most specific first."""
    tables = compile_table([replace(route, host="") for route in routes]).hosts(b"")
    by_pattern: dict[str, list[RouteRecord]] = {}
    for route in routes:
        by_pattern.setdefault(route.path, []).append(route)
    leaves = tables[0].leaves(path.encode("latin-1")) if tables else []
    patterns = dict.fromkeys(route.record.path for leaf in leaves for route in leaf.routes)
    return [route for pattern in patterns for route in by_pattern[pattern]]


def _similar(routes: Sequence[RouteRecord], path: str) -> list[Near]:
    """The most similar paths among these, which do not match."""
    ranked: list[tuple[float, str, RouteRecord]] = []
    for route in routes:
        fixed = route.path.removesuffix("**").removesuffix("/*") or "/"
        if fixed.rstrip("/") == path.rstrip("/"):
            ranked.append((3.0, "differs by a slash at its end", route))
        elif path.lower() == fixed.lower() or path.lower().startswith(fixed.lower() + "/"):
            ranked.append((2.0, "differs by upper and lower case", route))
        else:
            texts = SequenceMatcher(None, fixed, path[: len(fixed) + _SLACK])
            if texts.real_quick_ratio() >= _ALIKE and texts.quick_ratio() >= _ALIKE and texts.ratio() >= _ALIKE:
                ranked.append((texts.ratio(), "has a similar path", route))
    ranked.sort(key=lambda each: (-each[0], -len(each[2].path), each[2].path))
    return [Near(route, reason) for _, reason, route in ranked[:NEAR]]


def _split(answer: Matched) -> tuple[CompiledRoute, ...]:
    if isinstance(answer, CompiledRoute) and answer.gate is not None and answer.gate.split is not None:
        return answer.gate.split.routes
    return ()


def _no_pattern(table: HostTable) -> str:
    return f"no path of {f'host {table.host}' if table.host else 'the routes without host'} matches"


def _routes(
    table: HostTable,
    leaf: Leaf,
    winner: Leaf,
    answer: Matched,
    sharing: Sequence[CompiledRoute],
    method: str,
) -> Iterator[Considered]:
    for route in leaf.routes:
        is_chosen = route is answer or route in sharing
        if is_chosen:
            reason = f"the most specific pattern ({leaf.pattern.kind.name.lower()}) that matches"
            if sharing:
                reason += f", shared by {len(sharing)} routes"
        elif leaf is not winner:
            reason = f"less specific than {winner.routes[0].label}"
        elif route.record.is_refused:
            reason = "is refused, as it cannot be honoured; less specific patterns are not tried"
        elif route.methods is not None and method.encode("latin-1") not in route.methods:
            reason = f"takes {', '.join(route.record.methods)}, not {method}; less specific patterns are not tried"
        else:
            reason = f"another route of the same pattern takes {method} before it"
        yield Considered(table.host, route.record.path, route.record, is_chosen, reason)
