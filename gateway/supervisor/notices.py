"""What the log says of problems, once when they come and go, and of what becomes of instances and services.

One line for every transition of an instance, for every service that fails open, or changes its datacenter.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from discovery.model import Problem
from gateway.supervisor.history import Change
from gateway.supervisor.service import FailOpen, Move, News

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

    def report(self, news: Iterable[News]) -> None:
        """What has changed, in order."""
        for each in news:
            match each:
                case Change():
                    _tell_transition(each)
                case FailOpen():
                    _tell_fail_open(each)
                case Move():
                    _tell_move(each)


def _tell_transition(change: Change) -> None:
    facts = change.facts
    log.info(
        "instance transition",
        service=change.target.service,
        instance=change.target.address,
        **{"from": facts.before, "to": facts.after},
        reason=facts.reason,
        who=facts.who,
        detail=facts.detail,
    )


def _tell_fail_open(change: FailOpen) -> None:
    if change.is_open:
        log.error("service fails open", service=change.service, detail=change.message)
    else:
        log.warning("service fails open no more", service=change.service)


def _tell_move(move: Move) -> None:
    said = {"service": move.service, "datacenter": move.datacenter, "previous": move.previous}
    if move.is_home:
        log.info("service is back in its own datacenter", **said)
    else:
        log.warning("service fails over: no eligible instance in a nearer datacenter", **said)
