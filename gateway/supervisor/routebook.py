"""The routes in force, each with its cell in the ledger. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from discovery.model import Problem, RouteSpec
from gateway.admin.facts import RouteFacts
from gateway.shm.cells import CellsExhausted
from gateway.shm.layout import NO_ROUTE_CELL
from gateway.snapshot.model import RouteRecord
from gateway.supervisor.cellbook import CellBook
from gateway.supervisor.records import route_facts, route_record

RouteKey = tuple[str, str, str, tuple[str, ...], str]  # service, host, path, methods, options


class RouteBook:
    """Routes as declared, and as workers see them."""

    def __init__(self, cells: int) -> None:
        self.cells: CellBook[RouteKey] = CellBook(cells, first=NO_ROUTE_CELL + 1)
        self.shortage: Problem | None = None  # cells were too few
        self._routes: tuple[tuple[RouteSpec, RouteRecord], ...] = ()
        self._made_of: Sequence[RouteSpec] = ()

    @property
    def records(self) -> tuple[RouteRecord, ...]:
        return tuple(record for _, record in self._routes)

    def origin(self, record: RouteRecord) -> tuple[str, str]:
        """Where a route comes from, and its tag's options, in words; both empty for one that is no more."""
        found = (spec for spec, each in self._routes if each == record)
        return next(((str(spec.origin), spec.options) for spec in found), ("", ""))

    def facts(self) -> tuple[RouteFacts, ...]:
        return tuple(route_facts(spec, record.cell) for spec, record in self._routes if not spec.is_refused)

    def rebuild(self, specs: Sequence[RouteSpec], generation: int) -> bool:
        """Take over what is declared; True if workers must know."""
        if specs is self._made_of:
            return False
        self._made_of = specs
        before = {id(spec): (spec, record) for spec, record in self._routes}
        self.shortage = None
        routes: list[tuple[RouteSpec, RouteRecord]] = []
        for spec in specs:
            if known := before.pop(id(spec), None):  # nearly all: one tag of hundreds changes at a time
                routes.append(known)
                continue
            try:
                cell = NO_ROUTE_CELL if spec.is_refused else self.cells.admit(_key(spec))
                routes.append((spec, route_record(spec, cell)))
            except CellsExhausted as error:
                message = f"route {spec.host}{spec.path} is not in force, maybe others: {error}"
                self.shortage = Problem(spec.origin, message)
        if gone := {_key(spec) for spec, _ in before.values() if not spec.is_refused}:
            for key in gone - {_key(spec) for spec, _ in routes if not spec.is_refused}:
                self.cells.dismiss(key, generation)
        is_news = [record for _, record in routes] != [record for _, record in self._routes]
        self._routes = tuple(routes)
        return is_news


def _key(spec: RouteSpec) -> RouteKey:
    return spec.service, spec.host, spec.path, spec.methods, spec.options
