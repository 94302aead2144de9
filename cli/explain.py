"""`gw explain`: which route would take a request and why, and what would become of it. Nothing reaches an instance."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

import typer

from cli.admin_client import AdminClient, Refused, find_admin


def explain(admin: str | None, method: str, url: str, headers: Sequence[str], client: str, *, as_json: bool) -> int:
    """Exit code 0 with any explanation, be it why there is no route; 2 for what is no request."""
    fields: list[list[str]] = []
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon:
            typer.echo(f"The header {header!r} has no colon: write it as -H 'Name: value'.", err=True)
            return 2
        fields.append([name.strip(), value.strip()])
    with AdminClient(find_admin(admin, os.environ, Path.cwd())) as gateway:
        try:
            told = gateway.explain({"method": method, "url": url, "headers": fields, "client": client})
        except Refused as refused:
            if refused.status != HTTPStatus.BAD_REQUEST:
                raise
            typer.echo(str(refused), err=True)
            return 2
    if as_json:
        typer.echo(json.dumps(told, indent=2))
        return 0
    from cli.explained import explained
    from cli.render import Screen

    screen = Screen()
    screen.print(explained(screen, told))
    return 0
