"""What `gw status` shows, as lines for a `Screen`.

On a pipe that is everything. In a window what is wrong goes before what is well: problems come first, broken services
and instances before others, and where there is not room for all, what is well is told in one line. Scrolled down,
everything is there, under a short head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cli.footer import footer, helping
from cli.header import header
from cli.instances import instances
from cli.ordering import Shown, arrange
from cli.picture import Picture
from cli.problems import problems
from cli.recent import recent
from cli.render import Screen, Text
from cli.view import END, View
from cli.workers import workers

BRIEF_HEAD: Final = 2  # lines, of the head that stays while one scrolls
FEW_WORKERS: Final = 4  # that are worth a line each, where there is not room for all


@dataclass(frozen=True, slots=True)
class Frame:
    """What a window shows."""

    lines: list[Text]
    page: int  # lines that PageDown moves
    last_offset: int  # beyond it there is nothing to scroll to


@dataclass(frozen=True, slots=True)
class _Room:
    """How much is told: less in each step until it fits."""

    tight: bool = False  # no blank lines between services, each of them in one line
    cut: bool = False  # an instance in one line as well
    few: bool = False  # what is well in one line together
    few_workers: bool = False  # the same of workers, however few there are
    transitions: int = 8
    problems: int | None = None
    brief: bool = False  # the head in two lines


_ROOMS: Final = (
    _Room(),
    _Room(tight=True, transitions=5),
    _Room(tight=True, few=True, transitions=5),
    _Room(tight=True, few=True, transitions=3, problems=3, few_workers=True),
    _Room(tight=True, few=True, transitions=3, problems=2, few_workers=True, brief=True),
    _Room(tight=True, few=True, transitions=0, problems=2, few_workers=True, brief=True),
    _Room(tight=True, cut=True, few=True, transitions=0, problems=2, few_workers=True, brief=True),
)


class Dashboard:
    """Draws pictures of a gateway. With a `service`, that is the only one they have, and its past is told at length."""

    def __init__(self, screen: Screen, service: str | None = None) -> None:
        self.screen = screen
        self._service = service

    def whole(self, picture: Picture, view: View | None = None) -> list[Text]:
        """Everything, however long."""
        view = view or View()
        shown = arrange(picture.status["services"], picture.rates, view)
        return [*header(self.screen, picture), *self._body(picture, view, shown, self._most())]

    def frame(self, picture: Picture, view: View, height: int) -> Frame:
        """In exactly so many lines."""
        room = max(1, height - 1)  # the last is the footer's
        shown = arrange(picture.status["services"], picture.rates, view)
        if view.is_helping:
            return self._framed(header(self.screen, picture, brief=True), helping(self.screen), view, room)
        if view.offset > 0:
            head = header(self.screen, picture, brief=True)
            part = self._framed(head, self._body(picture, view, shown, self._most()), view, room)
            if part.last_offset > 0:
                return part
        return self._fitted(picture, view, shown, room)

    def _fitted(self, picture: Picture, view: View, shown: list[Shown], room: int) -> Frame:
        """What matters most, in as many lines as there are."""
        rows = sum(1 + len(each.instances) for each in shown)
        lines: list[Text] = []
        for step in (self._most(), *_ROOMS[1:]):
            if rows > room and not step.few:
                continue  # not drawn in vain: there may be thousands
            lines = [*header(self.screen, picture, brief=step.brief), *self._body(picture, view, shown, step)]
            if len(lines) <= room:
                break
        below = len(lines) - room
        place = f"{below} lines more below" if below > 0 else ""
        page, last = max(1, room - BRIEF_HEAD), 0 if view.offset else END
        return Frame(self._pad(lines[:room], view, room, place), page, last)

    def _framed(self, head: list[Text], body: list[Text], view: View, room: int) -> Frame:
        """A part of the body under a head that stays."""
        seen = max(1, room - len(head))
        last = max(0, len(body) - seen)
        offset = min(view.offset, last)
        place = f"lines {offset + 1}-{min(len(body), offset + seen)} of {len(body)}" if last else ""
        lines = [*head, *body[offset : offset + seen]]
        return Frame(self._pad(lines, view, room, place), seen, last)

    def _pad(self, lines: list[Text], view: View, room: int, place: str) -> list[Text]:
        return [*lines, *[Text()] * (room - len(lines)), footer(self.screen, view, place)]

    def _most(self) -> _Room:
        return _Room(transitions=1000) if self._service else _ROOMS[0]

    def _body(self, picture: Picture, view: View, shown: list[Shown], room: _Room) -> list[Text]:
        screen, status = self.screen, picture.status
        lines = problems(screen, status["problems"], room.problems)
        few = room.few and (len(status["workers"]) > FEW_WORKERS or room.few_workers)
        if self._service is None:
            lines += [Text(), *workers(screen, picture, few=few)]
        lines.append(Text())
        if shown:
            lines += instances(screen, picture, shown, few=room.few, tight=room.tight, cut=room.cut)
            lines += recent(screen, picture, shown, room.transitions)
        else:
            lines.append(Text(self._nothing(picture, view), "yellow"))
        return lines

    def _nothing(self, picture: Picture, view: View) -> str:
        if view.filter and picture.status["services"]:
            return f"Nothing matches the filter {view.filter!r}."
        if self._service is not None:
            return f"There is no service {self._service!r} any more."
        return "No services: there is nothing to route to."
