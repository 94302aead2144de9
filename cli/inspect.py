"""Commands that show a running gateway: status, routes, services."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import typer

from cli.admin_client import AdminClient, find_admin
from cli.picture import only


def status(admin: str | None, *, watch: bool, as_json: bool, interval: float, service: str | None, plain: bool) -> int:
    """The dashboard, once or live, of everything or of one service; or the status as JSON (live: a line a sample)."""
    with AdminClient(find_admin(admin, os.environ, Path.cwd())) as client:
        sample = client.status()  # nobody there at the start is an error, with --watch as well
        if service is not None and not _is_there(service, [each["name"] for each in sample["services"]]):
            return 2
        if as_json and not watch:
            _print_json(only(sample, service))
            return 0
        from cli import watch as watching

        if as_json:
            return watching.watch_json(client, service, interval)
        if watch:
            return watching.watch(client, sample, service=service, interval=interval, plain=plain)
        return watching.one_look(client, sample, service=service, plain=plain)


def routes(admin: str | None, *, as_json: bool) -> int:
    """The routes in force and where each came from."""
    with AdminClient(find_admin(admin, os.environ, Path.cwd())) as client:
        tables = client.routes()
    if as_json:
        _print_json(tables)
    else:
        from cli import tables as shown
        from cli.render import Screen

        screen = Screen()
        screen.print(shown.routes(screen, tables))
    return 0


def services(admin: str | None, name: str | None, *, as_json: bool, history: bool) -> int:
    """The services in force, or the one of this name: instances and origins, or what became of the instances."""
    with AdminClient(find_admin(admin, os.environ, Path.cwd())) as client:
        tables = client.services()
    if name is not None:
        if not _is_there(name, [service["name"] for service in tables["services"]]):
            return 2
        tables["services"] = [service for service in tables["services"] if service["name"] == name]
    if as_json:
        _print_json(tables)
        return 0
    from cli import tables as shown
    from cli.history import history as transitions
    from cli.render import Screen

    screen = Screen()
    screen.print(transitions(screen, tables) if history else shown.services(screen, tables))
    return 0


def _is_there(name: str, names: Sequence[str]) -> bool:
    """Whether there is a service of this name; says so if not."""
    if name in names:
        return True
    there = f"There are: {', '.join(names)}." if names else "There are none."
    typer.echo(f"There is no service {name!r}. {there}", err=True)
    return False


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2))
