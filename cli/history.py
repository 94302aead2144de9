"""What `gw services --history` shows: every instance with what became of it, the newest last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.cells import reason_colour
from cli.layout import printable, words
from cli.render import Column, Line, Screen, Text

if TYPE_CHECKING:
    from gateway.admin.status import InstanceStatus, ServiceTables

COLUMNS = [
    Column("WHEN (UTC)"),
    Column("FROM"),
    Column("TO"),
    Column("WHO"),
    Column("REASON", optional=True),
    Column("DETAIL", flexible=True),
]


def history(screen: Screen, tables: ServiceTables) -> list[Text]:
    """A table of transitions for each instance."""
    tables = printable(tables)
    rows: list[Line] = []
    for service in tables["services"]:
        for instance in service["instances"]:
            rows += [Text()] if rows else []
            rows.append(_title(service["name"], instance))
            rows += [
                [
                    Text("  " + each["at"][:19].replace("T", " "), "dim"),
                    Text(words(each["from"]), "dim"),
                    Text(words(each["to"]), reason_colour(each["to"])),
                    Text(each["who"]),
                    Text(words(each["reason"])),
                    Text(each["detail"], "dim"),
                ]
                for each in instance["history"]
            ]
    if not rows:
        rows = [Text("No instances: nothing has happened.", "yellow")]
    return screen.table(COLUMNS, rows)


def _title(service: str, instance: InstanceStatus) -> Text:
    flaps = instance["flaps"]
    count = f"flapped {flaps} {'time' if flaps == 1 else 'times'}" if flaps else "never flapped"
    now = (words(instance["reason"]), reason_colour(instance["reason"]))
    return Text.assemble((f"{service} {instance['address']}", "bold"), "  ", now, "  ", (count, "dim"))
