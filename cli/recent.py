"""What became of instances lately: the newest first, of all services together."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from cli.cells import gateway_now, reason_colour
from cli.layout import age, seconds_between, words
from cli.ordering import Shown
from cli.picture import Picture
from cli.render import Column, Line, Screen, Text


def recent(screen: Screen, picture: Picture, shown: Sequence[Shown], limit: int) -> list[Text]:
    """The last `limit` transitions of what is shown; nothing if there were none."""
    every = (
        (entry["at"], each.service["name"], instance["address"], entry)
        for each in shown
        for instance in each.instances
        for entry in instance["history"]
    )
    newest = heapq.nlargest(limit, every, key=lambda each: each[:3])
    if not newest:
        return []
    now = gateway_now(picture.status)
    columns = [
        Column("RECENT", right=True),
        Column("INSTANCE"),
        Column("BECAME"),
        Column("BEFORE", optional=2),
        Column("WHO", optional=1),
        Column("WHY", flexible=True),
    ]
    rows: list[Line] = [
        [
            Text(f"{age(seconds_between(at, now))} ago", "dim"),
            Text(f"{service} {address}"),
            Text(words(entry["to"]), reason_colour(entry["to"])),
            Text(words(entry["from"]), "dim"),
            Text(entry["who"]),
            Text(entry["detail"] or words(entry["reason"]), "dim"),
        ]
        for at, service, address, entry in newest
    ]
    return [Text(), *screen.table(columns, rows, whole=False)]
