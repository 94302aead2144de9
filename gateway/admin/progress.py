"""How far the newest state has come: what /api/progress answers. Cheap, as it is asked again and again. Pure."""

from __future__ import annotations

from typing import TypedDict

from gateway.admin import facts
from gateway.shm.ledger import Ledger


class WorkerProgress(TypedDict):
    """One worker, and the generation that it uses; 0 while it uses none."""

    id: int
    state: str
    generation: int


class InstanceProgress(TypedDict):
    """One instance, and why it takes traffic or not."""

    address: str
    eligible: bool
    reason: str
    detail: str


class ServiceProgress(TypedDict):
    """The service asked for."""

    name: str
    eligible: int
    instances: list[InstanceProgress]


class Progress(TypedDict):
    """The body of /api/progress."""

    generation: int
    ready: bool
    not_ready: list[str]
    draining: bool
    workers: list[WorkerProgress]
    service: ServiceProgress | None  # None: none was asked for, or there is none of that name
    services: list[str]


def progress(present: facts.Progress, ledger: Ledger) -> Progress:
    """The body of /api/progress."""
    return Progress(
        generation=present.generation,
        ready=present.ready,
        not_ready=list(present.not_ready),
        draining=present.draining,
        workers=[
            WorkerProgress(id=each.id, state=each.state, generation=ledger.row(each.id).generation)
            for each in present.workers
        ],
        service=None if present.service is None else _service(present.service),
        services=list(present.services),
    )


def _service(service: facts.ServiceFacts) -> ServiceProgress:
    return ServiceProgress(
        name=service.name,
        eligible=sum(each.eligible for each in service.instances),
        instances=[
            InstanceProgress(address=each.address, eligible=each.eligible, reason=each.reason, detail=each.detail)
            for each in service.instances
        ],
    )
