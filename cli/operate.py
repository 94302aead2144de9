"""Commands that change something: reload and down at a running gateway, register and deregister at Consul."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.admin_client import AdminClient, Refused, find_admin

if TYPE_CHECKING:
    from discovery.settings import ConsulSettings

DEFAULT_CONSUL = "http://127.0.0.1:8500"


def reload(admin: str | None, *, as_json: bool) -> int:
    """As SIGHUP. Exit code 2 when the gateway refuses the configuration; then nothing changed."""
    with AdminClient(find_admin(admin, os.environ, Path.cwd())) as client:
        try:
            answer = client.reload()
        except Refused as refused:
            if refused.reason != "bad_configuration":
                raise
            if as_json:
                typer.echo(json.dumps({"reloaded": False, "problems": refused.problems}, indent=2))
            for problem in refused.problems:
                typer.echo(problem, err=True)
            typer.echo(str(refused), err=True)
            return 2
        if as_json:
            typer.echo(json.dumps(answer, indent=2))
            return 0
        typer.echo(f"Reloaded the gateway at {client.where.address}.")
        for each in answer["needs_restart"]:
            typer.echo(f"Takes effect only after a restart: {each}")
        return 0


def down(admin: str | None) -> int:
    """As SIGTERM: returns at once, the gateway ends when what is in flight has finished."""
    with AdminClient(find_admin(admin, os.environ, Path.cwd())) as client:
        client.down()
        typer.echo(f"The gateway at {client.where.address} finishes what is in flight, then ends.")
        return 0


def register(
    name: str,
    address: str,
    port: int,
    *,
    tags: Sequence[str],
    weight: int,
    check_http: str | None,
    check_tcp: bool,
    check_ttl: float | None,
    consul: str | None,
) -> int:
    """Register a service with the Consul agent and print its id."""
    settings = _consul(consul)
    if settings is None:
        return 2
    from cli.registration import RegistrationError, register_service

    try:
        service_id = register_service(
            name,
            address,
            port,
            tags=tags,
            weight=weight,
            check_http=check_http,
            check_tcp=check_tcp,
            check_ttl=check_ttl,
            consul=settings,
        )
    except RegistrationError as error:
        typer.echo(str(error), err=True)
        return 1
    typer.echo(service_id)
    return 0


def deregister(service_id: str, *, consul: str | None) -> int:
    """Remove a service from the Consul agent."""
    settings = _consul(consul)
    if settings is None:
        return 2
    from cli.registration import RegistrationError, deregister_service

    try:
        deregister_service(service_id, consul=settings)
    except RegistrationError as error:
        typer.echo(str(error), err=True)
        return 1
    typer.echo(f"Removed {service_id}.")
    return 0


def _consul(option: str | None) -> ConsulSettings | None:
    """How to reach Consul: `--consul`, CONSUL_HTTP_ADDR, ./gateway.toml, else the agent here.

    None when the configuration is wrong; every error has been printed then.
    """
    from gateway.config.load import ConfigError, Overrides, default_file, load

    try:
        path = default_file()
        loaded = load(path, environ=os.environ, overrides=Overrides(consul=option))
        if loaded.consul is None:
            loaded = load(path, environ=os.environ, overrides=Overrides(consul=DEFAULT_CONSUL))
    except ConfigError as error:
        for problem in error.problems:
            typer.echo(problem, err=True)
        return None
    return loaded.consul
