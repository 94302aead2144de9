"""The declarations that could not be honoured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cli.render import Screen, Text

if TYPE_CHECKING:
    from gateway.admin.status import ProblemStatus


def problems(screen: Screen, found: Sequence[ProblemStatus], limit: int | None = None) -> list[Text]:
    """Nothing if there are none; with a `limit`, so many, each in one line."""
    if not found:
        return []
    lines = [Text(), Text(f"PROBLEMS ({len(found)})", "bold yellow")]
    for problem in found[:limit]:
        text = Text.assemble(("! ", "bold yellow"), (problem["origin"], "bold"), ": ", problem["message"])
        if limit is not None:
            lines.append(screen.cut(text))
            continue
        wrapped = screen.wrap(text, 2)
        lines += [wrapped[0], *(Text("  ").append_text(line) for line in wrapped[1:])]
    if limit is not None and len(found) > limit:
        lines.append(Text(f"  and {len(found) - limit} more: `gw routes` prints them all", "dim"))
    return lines
