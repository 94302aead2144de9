"""Why a request takes the route it takes: the table's own answer, with what else was considered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.routing.compiled import CompiledRoute, Leaf, Matched, MethodNotAllowed
from gateway.routing.match import HostTable, RouteTable
from gateway.routing.normal import normal_path
from gateway.snapshot.model import RouteRecord


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
    route: RouteRecord | None
    allow: str  # for 405: the methods that the matching pattern takes
    considered: tuple[Considered, ...]


def explain(table: RouteTable, host: bytes, path: bytes, method: bytes, host_field: bytes = b"") -> Explanation:
    """What `table.match` answers, and why. Arguments as for `match`, and the Host as the client writes it.

    Of routes that share their requests the first is named as the chosen one.
    """
    host_field = host_field or host
    answer = table.match_port(host, host_field, path, method) or table.match(host, path, method)
    matched_as = normal_path(path)
    considered: list[Considered] = []
    winner: Leaf | None = None
    for host_table in table.chain(host, host_field):
        leaves = host_table.leaves(matched_as)
        if not leaves:
            considered.append(Considered(host_table.host, "", None, False, _no_pattern(host_table)))
        for leaf in leaves:
            winner = winner or leaf
            considered += _routes(host_table, leaf, winner, answer, method.decode("latin-1"))
    return Explanation(
        path=matched_as.decode("latin-1"),
        route=answer.record if isinstance(answer, CompiledRoute) else None,
        allow=answer.allow.decode("latin-1") if isinstance(answer, MethodNotAllowed) else "",
        considered=tuple(considered),
    )


def _no_pattern(table: HostTable) -> str:
    return f"no path of {f'host {table.host}' if table.host else 'the routes without host'} matches"


def _routes(
    table: HostTable,
    leaf: Leaf,
    winner: Leaf,
    answer: Matched,
    method: str,
) -> Iterator[Considered]:
    for route in leaf.routes:
        if route is answer:
            reason = f"the most specific pattern ({leaf.pattern.kind.name.lower()}) that matches"
        elif leaf is not winner:
            reason = f"less specific than {winner.routes[0].label}"
        elif route.record.is_refused:
            reason = "is refused, as it cannot be honoured; less specific patterns are not tried"
        elif isinstance(answer, CompiledRoute) and answer.record.share is not None and route.record.share is not None:
            reason = f"shares the requests of this pattern with the route to {answer.service}"
        elif route.methods is not None and method.encode("latin-1") not in route.methods:
            reason = f"takes {', '.join(route.record.methods)}, not {method}; less specific patterns are not tried"
        else:
            reason = f"another route of the same pattern takes {method} before it"
        yield Considered(table.host, route.record.path, route.record, route is answer, reason)
