"""What `gw routes` and `gw services` show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli import cells
from cli.layout import printable
from cli.problems import problems
from cli.render import Column, Line, Screen, Text

if TYPE_CHECKING:
    from gateway.admin.status import RouteStatus, RouteTables, ServiceTables


def routes(screen: Screen, tables: RouteTables) -> list[Text]:
    """The routes in force."""
    tables = printable(tables)
    columns = [
        Column("ROUTE"),
        Column("METHODS"),
        Column("SERVICE"),
        Column("REQUESTS", right=True),
        Column("TIMEOUT", right=True, optional=1),
        Column("RETRIES", right=True, optional=1),
        Column("ORIGIN", flexible=True),
    ]
    rows: list[Line] = [
        [
            Text(route["host"] + route["path"], "bold"),
            Text(",".join(route["methods"]) or "all", "" if route["methods"] else "dim"),
            Text(route["service"] + _remark(route)),
            Text(f"{route['requests_total']:,}"),
            Text(f"{route['timeout']:g} s"),
            Text(str(route["retry_count"])),
            Text(route["origin"], "dim"),
        ]
        for route in tables["routes"]
    ]
    if not rows:
        rows = [Text("No routes: every request is answered 404.", "yellow")]
    return [*screen.table(columns, rows), *problems(screen, tables["problems"])]


def services(screen: Screen, tables: ServiceTables) -> list[Text]:
    """The services in force with their instances."""
    tables = printable(tables)
    columns = [
        Column("INSTANCE"),
        Column("HEALTH"),
        Column("WEIGHT", right=True),
        Column("REQUESTS", right=True),
        Column("FAILED", right=True),
        Column("PROBES FAILED", right=True, optional=1),
        Column("EJECTIONS", right=True, optional=1),
        Column("FLAPS", right=True, optional=1),
        Column("WHY", flexible=True),
    ]
    rows: list[Line] = []
    for service in tables["services"]:
        rows.append(cells.service_title(screen, service, with_origin=True))
        for instance in service["instances"]:
            probes = instance["checks_ok"] + instance["checks_failed"]
            rows.append(
                [
                    cells.address(screen, instance, with_name=screen.is_wide),
                    cells.health(instance),
                    Text(f"{instance['weight']:g}"),
                    Text(f"{instance['requests_total']:,}"),
                    cells.number(instance["failures_total"], "red"),
                    Text(f"{instance['checks_failed']:,} of {probes:,}" if probes else "-"),
                    Text(f"{instance['ejections_total']:,}"),
                    cells.number(instance["flaps"]),
                    cells.why(instance),
                ]
            )
    if not rows:
        rows = [Text("No services: there is nothing to route to.", "yellow")]
    return [*screen.table(columns, rows), *problems(screen, tables["problems"])]


def _remark(route: RouteStatus) -> str:
    """What a route does besides."""
    options = [route["options"]] if route["options"] else []
    if route["strip_path"]:
        options.append("strips its path")
    return f" ({', '.join(options)})" if options else ""
