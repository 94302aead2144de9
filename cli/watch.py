"""`gw status --watch`: the dashboard, live, until its reader has seen enough."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import typer

from cli.admin_client import AdminClient
from cli.dashboard import Dashboard
from cli.ordering import arrange
from cli.picture import Picture, Story, only
from cli.plain import facts
from cli.poller import Heard, Poller, ask
from cli.render import Screen, Text
from cli.terminal import Terminal
from cli.view import View, press

if TYPE_CHECKING:
    from gateway.admin.status import Status

GAP: Final = 0.5  # seconds between the two samples that the first rates are made of
TICK: Final = 1.0  # seconds at most between two frames: ages grow while nobody answers
SPARKED: Final = 60  # services whose past is asked for: more are not in a window


def watch(client: AdminClient, first: Status, *, service: str | None, interval: float, plain: bool) -> int:
    """Live until q or Ctrl-C; a gateway that goes away is waited for. Below each other, where there is no window."""
    screen = Screen()
    try:
        story = _begin(client, first, service)
        if plain or screen.height is None or screen.is_dumb:
            return _scroll(client, screen, story, interval, plain=plain or screen.is_dumb)
        return _show(client, screen, story, interval)
    except KeyboardInterrupt:
        return 0


def watch_json(client: AdminClient, service: str | None, interval: float) -> int:
    """A line of JSON for each sample, until Ctrl-C."""
    try:
        while True:
            typer.echo(json.dumps(only(client.status(), service)))
            time.sleep(interval)
    except KeyboardInterrupt:
        return 0


def past_of(picture: Picture, view: View) -> tuple[str, ...]:
    """The services whose past is worth asking for: those that come first, then others that a key may bring up."""
    services = picture.status["services"]
    shown = [*arrange(services, picture.rates, view), *arrange(services, picture.rates, View())]
    return tuple(dict.fromkeys(each.service["name"] for each in shown))[:SPARKED]


def _scroll(client: AdminClient, screen: Screen, story: Story, interval: float, *, plain: bool) -> int:
    dashboard = Dashboard(screen, story.service)
    while True:
        picture = story.present
        screen.print([*([Text(each) for each in facts(picture)] if plain else dashboard.whole(picture)), Text()])
        time.sleep(interval)
        _tell(story, ask(client, past_of(picture, View())))


def _show(client: AdminClient, screen: Screen, story: Story, interval: float) -> int:
    dashboard, view = Dashboard(screen, story.service), View()
    with Terminal(screen) as terminal, Poller(client.where, interval, terminal.wake) as poller:
        picture = story.present
        while True:
            if not view.is_paused:
                picture = story.present
            poller.interesting = past_of(picture, view)
            frame = dashboard.frame(picture, view, screen.console.height)
            view = replace(view, offset=min(view.offset, frame.last_offset))
            terminal.draw(frame.lines)
            for key in terminal.wait(TICK):
                after = press(view, key, frame.page)
                if after is None:
                    return 0
                view = replace(after, offset=min(after.offset, frame.last_offset))
            for heard in poller.take():
                _tell(story, heard)


def _tell(story: Story, heard: Heard) -> None:
    if heard.status is None:
        story.silent(heard.why, heard.asked, time.monotonic())
    else:
        story.heard(heard.status, heard.series)


def one_look(client: AdminClient, first: Status, *, service: str | None, plain: bool) -> int:
    """The dashboard once."""
    screen = Screen()
    picture = _begin(client, first, service).present
    if plain or screen.is_dumb:
        screen.print([Text(each) for each in facts(picture)])
    else:
        screen.print(Dashboard(screen, service).whole(picture))
    return 0


def _begin(client: AdminClient, first: Status, service: str | None) -> Story:
    """Two samples, so that there are rates. If it goes down between them, what it last said is still worth showing."""
    story = Story(str(client.where), service)
    story.heard(first, None)
    time.sleep(GAP)
    _tell(story, ask(client, past_of(story.present, View())))
    return story
