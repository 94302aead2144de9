"""What the person at the dashboard asked for by keys: order, filter, place, pause, help. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

SORTS: Final = ("trouble", "name", "requests", "errors", "p99", "in flight")
FILTER_CHARS: Final = 60
END: Final = 10**9  # lines: further than any

KEYS: Final = (
    ("s, S", "sort by the next column, the one before: " + ", ".join(SORTS)),
    ("/", "filter: services and instances in whose name, address, health or reason all the words are"),
    ("Esc", "end the filter, this help"),
    ("p, Space", "pause: the figures stand still; again: go on"),
    ("Up, Down, j, k", "scroll by a line: below the top everything is shown, at the top what matters most"),
    ("PgUp, PgDn", "scroll by a window"),
    ("Home, End", "to the top, to the bottom"),
    ("h, ?", "this help"),
    ("q, Ctrl-C", "quit"),
)


@dataclass(frozen=True, slots=True)
class View:
    """How the dashboard is looked at."""

    sort: str = SORTS[0]
    filter: str = ""
    is_typing: bool = False  # the filter
    is_paused: bool = False
    is_helping: bool = False
    offset: int = 0  # lines scrolled down

    @property
    def words(self) -> list[str]:
        """What must all be found, in lower case."""
        return self.filter.lower().split()


def press(view: View, key: str, page: int) -> View | None:
    """The view after a key, as `keys.decode` names it; None: quit. `page` is how many lines PageDown moves."""
    if view.is_typing:
        return _type(view, key)
    moves = {"up": -1, "k": -1, "down": 1, "j": 1, "pageup": -page, "pagedown": page, "home": -END, "end": END}
    if key in moves:
        return replace(view, offset=max(0, view.offset + moves[key]))
    match key:
        case "q" | "Q":
            return None
        case "s":
            return replace(view, sort=_next(view.sort, 1), offset=0)
        case "S":
            return replace(view, sort=_next(view.sort, -1), offset=0)
        case "/":
            return replace(view, is_typing=True, is_helping=False, offset=0)
        case "p" | " ":
            return replace(view, is_paused=not view.is_paused)
        case "h" | "?":
            return replace(view, is_helping=not view.is_helping, offset=0)
        case "escape":
            return replace(view, filter="" if not view.is_helping else view.filter, is_helping=False, offset=0)
    return view


def _type(view: View, key: str) -> View:
    match key:
        case "enter":
            return replace(view, is_typing=False)
        case "escape":
            return replace(view, is_typing=False, filter="")
        case "backspace":
            return replace(view, filter=view.filter[:-1])
    if len(key) == 1 and key.isprintable() and len(view.filter) < FILTER_CHARS:
        return replace(view, filter=view.filter + key)
    return view


def _next(sort: str, step: int) -> str:
    return SORTS[(SORTS.index(sort) + step) % len(SORTS)]
