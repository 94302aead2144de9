"""Which services and instances are shown, and in what order. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cli.rates import Rates
from cli.view import View

if TYPE_CHECKING:
    from gateway.admin.status import InstanceStatus, ServiceStatus

BAD: Final = ("unhealthy", "critical", "ejected")
ODD_BUT_USED: Final = ("fail_open", "provisional")  # takes traffic, and someone should look
WELL: Final = 3

Order = tuple[float | str, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """A service with those of its instances that are shown, in order."""

    service: ServiceStatus
    instances: tuple[InstanceStatus, ...]


def trouble(instance: InstanceStatus) -> int:
    """0: broken, 1: out for another reason, 2: used although someone should look, 3 (WELL): nothing."""
    if not instance["eligible"]:
        return 0 if instance["reason"] in BAD else 1
    return 2 if instance["reason"] in ODD_BUT_USED else WELL


def service_trouble(service: ServiceStatus) -> int:
    """0: no instance takes traffic, 1: too few do, 2: some need a look, 3 (WELL): nothing."""
    if not any(each["eligible"] for each in service["instances"]):
        return 0
    if service["failing_open"]:
        return 1
    needs_look = any(trouble(each) < WELL and each["reason"] != "reserve" for each in service["instances"])
    return 2 if needs_look else WELL


def arrange(services: Sequence[ServiceStatus], rates: Rates, view: View) -> list[Shown]:
    """What the filter leaves, in the order asked for; what is alike stays in the gateway's own order."""
    found = [
        Shown(each, left)
        for each in services
        if (left := _matching(each, view.words)) or _matches(service_text(each), view.words)
    ]
    instance_order, service_order = _orders(rates, view.sort)
    return [
        Shown(each.service, tuple(sorted(each.instances, key=lambda i, s=each.service: instance_order(s, i))))  # type: ignore[misc]
        for each in sorted(found, key=lambda each: service_order(each.service))
    ]


def service_text(service: ServiceStatus) -> str:
    """What a filter looks at."""
    return service["name"]


def instance_text(service: ServiceStatus, instance: InstanceStatus) -> str:
    """What a filter looks at."""
    keys = ("address", "name", "health", "reason", "detail", "datacenter")
    return " ".join([service["name"], *(str(instance[key]) for key in keys)])  # type: ignore[literal-required]


def _matching(service: ServiceStatus, words: Sequence[str]) -> tuple[InstanceStatus, ...]:
    if _matches(service_text(service), words):
        return tuple(service["instances"])
    return tuple(each for each in service["instances"] if _matches(instance_text(service, each), words))


def _matches(text: str, words: Sequence[str]) -> bool:
    return all(word in text.lower() for word in words)


def _orders(
    rates: Rates, sort: str
) -> tuple[Callable[[ServiceStatus, InstanceStatus], Order], Callable[[ServiceStatus], Order]]:
    """Sort keys of instances and of services; figures put the highest first."""
    if sort == "trouble":
        return lambda _, each: (trouble(each),), lambda service: (service_trouble(service),)
    if sort == "name":
        return lambda _, each: (each["address"],), lambda service: (service["name"],)

    def figure(service: ServiceStatus, each: InstanceStatus) -> float:
        key = (service["name"], each["address"])
        match sort:
            case "requests":
                return rates.instances.get(key, 0.0)
            case "errors":
                return rates.failures.get(key, 0.0)
            case "p99":
                return rates.latencies.get(key, (None, None))[1] or 0.0
        return each["in_flight"]

    together = max if sort == "p99" else sum

    def whole(service: ServiceStatus) -> float:
        figures = [figure(service, each) for each in service["instances"]]
        return together(figures) if figures else 0.0

    return lambda service, each: (-figure(service, each),), lambda service: (-whole(service),)
