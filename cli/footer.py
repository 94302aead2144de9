"""The last line of the live dashboard, and its help."""

from __future__ import annotations

from typing import Final

from cli.render import Screen, Text
from cli.view import KEYS, View

_URGENT: Final = "hsqp/"  # keys; where there is no room for all, the last are not named: the help has them


def footer(screen: Screen, view: View, place: str) -> Text:
    """Keys and what they did; `place` says which lines are seen."""
    if view.is_typing:
        return screen.cut(Text.assemble(("/", "bold"), view.filter, ("_", "bold"), ("   Enter: keep  Esc: end", "dim")))
    states = [Text(f" FILTER {view.filter} ", "bold black on cyan")] if view.filter else []
    states += [Text(" PAUSED ", "bold black on yellow")] if view.is_paused else []
    hints = {
        "h": "help",
        "s": f"sort: {view.sort}",
        "/": "filter",
        "p": "go on" if view.is_paused else "pause",
        "q": "quit",
    }
    for most in range(len(_URGENT), -1, -1):
        keys = [
            Text.assemble((key, "bold"), " ", (word, "dim")) for key, word in hints.items() if key in _URGENT[:most]
        ]
        line = Text("  ").join([*states, *keys])
        room = screen.width - line.cell_len - len(place)
        if room >= 2:
            break
    return screen.cut(Text.assemble(line, " " * max(2, room), (place, "dim")) if place else line)


def helping(screen: Screen) -> list[Text]:
    """What the keys do, and what the figures mean."""
    width = max(len(keys) for keys, _ in KEYS)
    lines = [Text(), Text("KEYS", "bold")]
    for keys, meaning in KEYS:
        first, *rest = screen.wrap(Text(meaning), width + 4)
        lines.append(Text.assemble("  ", (f"{keys:{width}}", "bold"), "  ", first))
        lines += [Text(" " * (width + 4)).append_text(line) for line in rest]
    lines += [Text(), Text("FIGURES", "bold")]
    for text in (
        "Rates, errors and latencies are those of the last 10 seconds; errors of an instance: attempts that failed.",
        "P50 and P99: half, 99 of 100 responses had their head within this time.",
        "CPU is of one processor. The curves are of the last 2 minutes, the highest of each stretch.",
        f"{screen.dot} takes traffic  {screen.ring} does not, on purpose or for now  {screen.cross} is broken",
    ):
        lines += [Text("  ").append_text(line) for line in screen.wrap(Text(text), 2)]
    return lines
