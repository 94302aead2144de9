"""Single cells and titles that several tables share. Colour never carries a meaning alone."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from cli.layout import age, seconds_between, words
from cli.ordering import WELL, trouble
from cli.render import Screen, Text

if TYPE_CHECKING:
    from gateway.admin.status import InstanceStatus, ServiceStatus, Status

HEALTH_COLOURS: Final = {"healthy": "green", "unhealthy": "red", "unknown": "yellow", "unchecked": "dim"}
GOOD: Final = ("eligible", "provisional")
BAD: Final = ("unhealthy", "critical", "ejected", "absent")
SOME: Final = 0.0005  # a share below which it is none, as it is written with one decimal


def address(screen: Screen, instance: InstanceStatus, *, with_name: bool) -> Text:
    rank = trouble(instance)
    sign, colour = (
        (screen.cross, "red"),
        (screen.ring, "yellow"),
        (screen.dot, "yellow"),
        (screen.dot, "green"),
    )[rank]
    name = f" {instance['name']}" if with_name and instance["name"] else ""
    return Text.assemble("  ", (sign, colour), " ", instance["address"], (name, "dim"))


def health(instance: InstanceStatus, *, or_reason: bool = False) -> Text:
    """With `or_reason`, of one that takes no traffic the reason instead, where there is no room for both."""
    if or_reason and not instance["eligible"]:
        return Text(words(instance["reason"]), reason_colour(instance["reason"]))
    return Text(instance["health"], HEALTH_COLOURS.get(instance["health"], ""))


def why(instance: InstanceStatus) -> Text:
    reason, detail = instance["reason"], instance["detail"]
    if reason == "eligible":
        return Text(detail, "dim")
    colour = "yellow" if instance["eligible"] else ""
    if detail and reason == "unhealthy":  # the word beside says so already
        return Text(detail, colour)
    return Text(f"{words(reason)}: {detail}" if detail else words(reason), colour)


def number(count: int, colour: str = "yellow") -> Text:
    """A count of something that should not be: dim while it is none."""
    return Text(f"{count:,}", colour if count else "dim")


def share(value: float | None) -> Text:
    """A share of failures in percent; a dash where nothing was asked."""
    if value is None:
        return Text("-", "dim")
    return Text(percent(value), "red" if value >= SOME else "dim")


def percent(value: float) -> str:
    """0%, 0.4%, 12%."""
    if value < SOME:
        return "0%"
    return f"{value * 100:.1f}%" if value < 0.1 else f"{value * 100:.0f}%"


def last_probe(instance: InstanceStatus, now: str) -> Text:
    """How the last probe ended, and how long ago."""
    last = instance.get("last_probe")  # an older gateway than these commands does not tell it
    if last is None:
        return Text("-", "dim")
    word, colour = ("ok", "dim") if last["ok"] else ("failed", "red")
    return Text(f"{word} {age(seconds_between(last['at'], now))}", colour)


def count_in_use(service: ServiceStatus) -> Text:
    """How many instances take traffic."""
    instances = service["instances"]
    used = sum(instance["eligible"] for instance in instances)
    in_reserve = sum(instance["reason"] == "reserve" for instance in instances)
    colour = "green" if used == len(instances) - in_reserve and used else ("yellow" if used else "bold red")
    return Text(f"{used} of {len(instances)} take traffic" if instances else "no instances", colour)


def padded(text: Text, width: int) -> Text:
    """At least so wide."""
    return text.append(" " * (width - text.cell_len))


def service_title(
    screen: Screen,
    service: ServiceStatus,
    *,
    with_origin: bool,
    figures: Text | None = None,
    widths: tuple[int, int] = (0, 0),
) -> Text:
    """A service in one line; `figures` go between its state and its settings. `widths`: of its name and its state."""
    datacenter = [f"datacenter {service['datacenter']}"] if service["failover"] else []
    parts = [words(service["balance"]), *datacenter, *([service["origin"]] if with_origin else [])]
    return Text.assemble(
        (f"{service['name']:{widths[0]}}", "bold"),
        "  ",
        padded(count_in_use(service), widths[1]),
        "  ",
        ("FAILS OPEN  " if service["failing_open"] else "", "bold red"),
        figures or "",
        "  " if figures else "",
        (screen.join(*parts), "dim"),
    )


def reason_colour(reason: str) -> str:
    return "green" if reason in GOOD else "red" if reason in BAD else "yellow"


def is_well(instance: InstanceStatus) -> bool:
    return trouble(instance) == WELL


def gateway_now(status: Status) -> str:
    """The gateway's own clock at the sample: ages must not depend on the clock here."""
    started = datetime.fromisoformat(status["started_at"])
    return (started + timedelta(seconds=status["uptime_seconds"])).isoformat()
