"""What the log says of problems, once when they come and go, and of services that change their datacenter."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from discovery.model import Problem
from gateway.supervisor.registry import Move

log = structlog.get_logger(__name__)


class Notices:
    """Remembers what has been said."""

    def __init__(self) -> None:
        self._known: dict[Problem, None] = {}

    def review(self, problems: Iterable[Problem]) -> None:
        """The problems that there are now."""
        now = dict.fromkeys(problems)
        if now == self._known:
            return
        for problem in now.keys() - self._known.keys():
            log.warning("problem", origin=str(problem.origin), message=problem.message)
        for problem in self._known.keys() - now.keys():
            log.info("problem is gone", origin=str(problem.origin), message=problem.message)
        self._known = now

    def report(self, moves: Iterable[Move]) -> None:
        """Services whose traffic goes to another datacenter now."""
        for move in moves:
            said = {"service": move.service, "datacenter": move.datacenter, "previous": move.previous}
            if move.is_home:
                log.info("service is back in its own datacenter", **said)
            else:
                log.warning("service fails over: no eligible instance in a nearer datacenter", **said)
