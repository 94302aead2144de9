"""Commands that show a running gateway: status, routes, services."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.admin_client import AdminClient, NobodyAnswers, Refused, find_admin
from cli.rates import rates

if TYPE_CHECKING:
    from gateway.admin.status import Status

SAMPLE_GAP = 0.5  # seconds between the two samples that one-shot rates are made of


def status(admin: str | None, *, watch: bool, as_json: bool, interval: float) -> int:
    """The dashboard, once or live; or the status as JSON (live: one line for each sample)."""
    with AdminClient(find_admin(admin, os.environ, Path.cwd())) as client:
        if watch:
            return _watch_json(client, interval) if as_json else _watch(client, interval)
        sample = client.status()
        if as_json:
            _print_json(sample)
            return 0
        before: Status | None = sample
        time.sleep(SAMPLE_GAP)
        try:
            sample = client.status()
        except (NobodyAnswers, Refused):  # it just went down: what it last said is still worth showing
            before = None
        from cli.dashboard import Dashboard
        from cli.render import Screen

        screen = Screen()
        screen.print(Dashboard(screen).status(sample, rates(sample, before)))
        return 0


def routes(admin: str | None, *, as_json: bool) -> int:
    """The routes in force and where each came from."""
    with AdminClient(find_admin(admin, os.environ, Path.cwd())) as client:
        tables = client.routes()
    if as_json:
        _print_json(tables)
    else:
        from cli.dashboard import Dashboard
        from cli.render import Screen

        screen = Screen()
        screen.print(Dashboard(screen).routes(tables))
    return 0


def services(admin: str | None, name: str | None, *, as_json: bool, history: bool) -> int:
    """The services in force, or the one of this name: instances and origins, or what became of the instances."""
    with AdminClient(find_admin(admin, os.environ, Path.cwd())) as client:
        tables = client.services()
    if name is not None:
        names = [service["name"] for service in tables["services"]]
        if name not in names:
            there = f"There are: {', '.join(names)}." if names else "There are none."
            typer.echo(f"There is no service {name!r}. {there}", err=True)
            return 2
        tables["services"] = [service for service in tables["services"] if service["name"] == name]
    if as_json:
        _print_json(tables)
        return 0
    from cli.dashboard import Dashboard
    from cli.history import history as transitions
    from cli.render import Screen

    screen = Screen()
    screen.print(transitions(screen, tables) if history else Dashboard(screen).services(tables))
    return 0


def _watch(client: AdminClient, interval: float) -> int:
    """Live until Ctrl-C; a gateway that goes away is waited for."""
    from cli.dashboard import Dashboard, Silence
    from cli.render import Screen

    sample, before = client.status(), None  # nobody there at the start is an error, as without --watch
    screen = Screen()
    dashboard = Dashboard(screen)
    silence: Silence | None = None
    silent_since = 0.0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the window gets its cursor back
    try:
        with screen.live() as draw:
            while True:
                draw(dashboard.status(sample, rates(sample, before), silence, screen.height))
                time.sleep(interval)
                asked = time.monotonic()
                try:
                    sample, before, silence = client.status(), sample, None
                except (NobodyAnswers, Refused) as error:
                    silent_since = silent_since if silence else asked
                    why = str(error).partition("\n")[0]
                    silence = Silence(str(client.where), time.monotonic() - silent_since, why)
    except KeyboardInterrupt:
        return 0


def _watch_json(client: AdminClient, interval: float) -> int:
    try:
        while True:
            typer.echo(json.dumps(client.status()))
            time.sleep(interval)
    except KeyboardInterrupt:
        return 0


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2))
