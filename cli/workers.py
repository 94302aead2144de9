"""The dashboard's table of workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cli.cells import gateway_now, number
from cli.layout import age, rate, seconds_between, size
from cli.picture import Picture
from cli.render import Column, Line, Screen, Text

if TYPE_CHECKING:
    from gateway.admin.status import WorkerStatus

COLOURS: Final = {
    "serving": "green",
    "starting": "yellow",
    "draining": "yellow",
    "restarting": "red",
    "orphaned": "red",
}


def workers(screen: Screen, picture: Picture, *, few: bool) -> list[Text]:
    """All of them, or with `few` those that are not serving and a line for the rest."""
    status, rates = picture.status, picture.rates
    columns = [
        Column("WORKER"),
        Column("PID", right=True, optional=1),
        Column("STATE"),
        Column("CONNS" if screen.is_narrow else "CONNECTIONS", right=True),
        Column("BUSY" if screen.is_narrow else "IN FLIGHT", right=True),
        Column("REQ/S", right=True),
        Column("CPU", right=True),
        Column("MEMORY", right=True, optional=1),
        Column("RESTARTS", right=True, optional=2),
        Column("GENERATION", right=True, optional=2),
        Column("UP", right=True, optional=3),
    ]
    rows: list[Line] = []
    well: list[WorkerStatus] = []
    now = gateway_now(status)
    for worker in status["workers"]:
        is_behind = worker["generation"] != status["generation"]
        if few and worker["state"] == "serving":
            well.append(worker)
            continue
        rows.append(
            [
                Text(str(worker["id"])),
                Text(str(worker["pid"] or "-"), "dim"),
                Text(worker["state"], COLOURS.get(worker["state"], "")),
                Text(f"{worker['connections']:,}"),
                Text(f"{worker['in_flight']:,}"),
                Text(rate(rates.workers.get(worker["id"], 0.0))),
                Text(f"{rates.cpu.get(worker['id'], 0.0) * 100:.0f}%"),
                Text(size(worker["rss_bytes"])),
                number(worker["restarts"]),
                Text(f"{worker['generation']:,}{' behind' if is_behind else ''}", "yellow" if is_behind else "dim"),
                Text(age(seconds_between(worker["started_at"], now)), "dim"),
            ]
        )
    if not well:
        return screen.table(columns, rows) if rows else []
    rest = _together(screen, picture, well, is_all=not rows)
    return [*screen.table(columns, rows), rest] if rows else [rest]


def _together(screen: Screen, picture: Picture, serving: list[WorkerStatus], *, is_all: bool) -> Text:
    rates = picture.rates
    restarts = sum(each["restarts"] for each in serving)
    busy = sum(rates.cpu.get(each["id"], 0.0) for each in serving)
    count = f"{len(serving)} {'' if is_all else 'more '}{'worker is' if len(serving) == 1 else 'workers are'} serving"
    facts = [f"{busy * 100:.0f}% CPU", size(sum(each["rss_bytes"] for each in serving))]
    facts += [f"{restarts:,} {'restart' if restarts == 1 else 'restarts'}"] if restarts else []
    return screen.cut(Text(screen.join(count, *facts), "dim"))
