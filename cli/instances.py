"""The dashboard's table of services and their instances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from cli import cells
from cli.layout import age, duration, rate, seconds_between
from cli.ordering import Shown
from cli.picture import Picture
from cli.render import Column, Line, Screen, Text
from cli.sparkline import sparkline

if TYPE_CHECKING:
    from gateway.admin.status import InstanceStatus, ServiceStatus

NARROW_SPARK, SPARK, WIDE_SPARK = 10, 20, 40  # columns, of a service's sparkline
VERY_WIDE: Final = 160  # columns
LOW_WIDTH: Final = 72  # columns below which the last one is hardly readable


def instances(
    screen: Screen, picture: Picture, shown: Sequence[Shown], *, few: bool, tight: bool, cut: bool
) -> list[Text]:
    """These services and instances, or with `few` those instances that need a look and a line for the rest.

    With `tight` no blank lines, and services in one line each; with `cut` instances as well.
    """
    rates, now = picture.rates, cells.gateway_now(picture.status)
    rows: list[Line] = []
    widths = (
        max((len(each.service["name"]) for each in shown), default=0),
        max((cells.count_in_use(each.service).cell_len for each in shown), default=0),
    )
    for each in shown:
        service = each.service
        rows += [Text()] if rows and not tight else []
        figures = _figures(screen, picture, service)
        with_origin = not screen.is_narrow
        title = cells.service_title(screen, service, with_origin=with_origin, figures=figures, widths=widths)
        rows.append(screen.cut(title) if tight else title)
        well = [instance for instance in each.instances if cells.is_well(instance)]
        is_folded = few and len(well) > 1
        told = [instance for instance in each.instances if not (is_folded and cells.is_well(instance))]
        rows += [_row(screen, picture, service, instance, now) for instance in told]
        if is_folded:
            flow = sum(rates.instances.get((service["name"], i["address"]), 0.0) for i in well)
            text = f"  {screen.dot} {len(well)} {'more ' if told else ''}instances take"
            rows.append(Text(f"{text} traffic, {rate(flow)} req/s", "green"))
    return screen.table(_columns(screen), rows, whole=not cut)


def _columns(screen: Screen) -> list[Column]:
    return [
        Column("INSTANCE"),
        Column("HEALTH"),
        Column("SINCE", right=True),
        Column("WEIGHT", right=True, optional=4),
        Column("BUSY" if screen.is_narrow else "IN FLIGHT", right=True, optional=1),
        Column("REQ/S", right=True),
        Column("ERRORS", right=True),
        Column("P50", right=True, optional=3),
        Column("P99", right=True, optional=2),
        Column("PROBE", right=True, optional=3),
        Column("EJECTIONS", right=True, optional=5),
        Column("FLAPS", right=True, optional=6),
        Column("WHY", flexible=True),
    ]


def _row(screen: Screen, picture: Picture, service: ServiceStatus, instance: InstanceStatus, now: str) -> list[Text]:
    key, rates = (service["name"], instance["address"]), picture.rates
    p50, p99 = rates.latencies.get(key, (None, None))
    return [
        cells.address(screen, instance, with_name=screen.is_wide),
        cells.health(instance, or_reason=screen.width < LOW_WIDTH),
        Text(age(seconds_between(instance["since"], now)), "dim"),
        Text(f"{instance['weight']:g}"),
        Text(f"{instance['in_flight']:,}"),
        Text(rate(rates.instances.get(key, 0.0))),
        cells.share(rates.failing(key)),
        Text(duration(p50)),
        Text(duration(p99)),
        cells.last_probe(instance, now),
        cells.number(instance["ejections_total"]),
        cells.number(instance["flaps"]),
        Text() if screen.is_narrow and cells.is_well(instance) else cells.why(instance),
    ]


def _figures(screen: Screen, picture: Picture, service: ServiceStatus) -> Text:
    """A service's requests and errors, now and in the last minutes."""
    keys = [(service["name"], each["address"]) for each in service["instances"]]
    failing = picture.rates.failing(*keys)
    errors = Text(f"{cells.percent(failing or 0.0):>4} errors", "red" if (failing or 0.0) >= cells.SOME else "dim")
    asked_now = Text(f"{rate(sum(picture.rates.instances.get(key, 0.0) for key in keys)):>5} req/s ").append_text(
        errors
    )
    past = picture.service_past(service["name"])
    if past is None or not screen.is_unicode:
        return asked_now
    width = NARROW_SPARK if screen.is_narrow else WIDE_SPARK if screen.width >= VERY_WIDE else SPARK
    asked, failed = past["requests_per_second"], past["failures_per_second"]
    drawn = Text.assemble((sparkline(asked, width), "cyan"), " ")
    if any(failed) and not screen.is_narrow:
        drawn.append_text(Text.assemble((sparkline(failed, width), "red"), " "))
    return drawn.append_text(asked_now)
