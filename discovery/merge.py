"""Routes from several places made into one set: file over KV over tags. Pure.

Two routes claim the same requests when host and path are the same (whatever their {name} segments are
called) and a method is common to both. The one from the higher place stays, and the other becomes a
Problem that says who won. Within one place the first by name of its origin wins, so that the outcome does
not depend on which answer came first.

Routes with a share make room for each other: those of one host and path are a split. A refused route
stays only where nobody has a route.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from discovery.model import OriginKind, Problem, RouteSpec

_RANK: Final = {kind: rank for rank, kind in enumerate(OriginKind)}
_SEGMENT_NAME: Final = re.compile(r"\{[^/}]*\}")


def merge_routes(routes: Iterable[RouteSpec]) -> tuple[tuple[RouteSpec, ...], tuple[Problem, ...]]:
    """The routes that stay, those of the file first and in its order; a Problem for each other."""
    kept: dict[tuple[str, str], list[RouteSpec]] = {}
    merged: list[RouteSpec] = []
    problems: list[Problem] = []
    for route in sorted(routes, key=_precedence):
        rivals = kept.setdefault((route.host.lower(), _SEGMENT_NAME.sub("{}", route.path)), [])
        winner = next((each for each in rivals if _is_in_the_way(each, route)), None)
        if winner is None:
            rivals.append(route)
            merged.append(route)
        elif not route.is_refused:  # that it is refused has been said already
            problems.append(Problem(route.origin, f"route {_describe(route)} is already taken by {winner.origin}"))
    return tuple(merged), tuple(problems)


def _precedence(route: RouteSpec) -> tuple[int, bool, str, str]:
    if route.origin.kind is OriginKind.FILE:
        return (_RANK[OriginKind.FILE], False, "", "")  # sorting is stable: the file's own order
    return (_RANK[route.origin.kind], route.is_refused, route.service, route.origin.detail)


def _is_in_the_way(kept: RouteSpec, route: RouteSpec) -> bool:
    if kept.share is not None and route.share is not None:
        return False
    return _overlap(kept.methods, route.methods)


def _overlap(some: tuple[str, ...], others: tuple[str, ...]) -> bool:
    return not some or not others or not set(some).isdisjoint(others)


def _describe(route: RouteSpec) -> str:
    methods = f"{','.join(route.methods)} " if route.methods else ""
    return f"{methods}{route.host}{route.path} of service {route.service}"
