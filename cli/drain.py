"""`gw drain` and `gw undrain`: an instance out of balancing while its requests finish, and back."""

from __future__ import annotations

import getpass
import json
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from cli.admin_client import AdminClient, Refused, find_admin

if TYPE_CHECKING:
    from cli.admin_client import Drained
    from gateway.admin.status import DrainStatus, Status

LOOK_INTERVAL: Final = 0.1  # seconds between looks at what is left
NOT_KNOWN: Final = ("no_such_service", "no_such_instance")  # reasons of a refusal that the command line is to blame for


def drain(admin: str | None, service: str, instance: str, *, wait: bool, timeout: float, as_json: bool) -> int:
    """Exit code 0; with `wait` only once no request is left, 1 if some are after `timeout` seconds (0: no limit)."""
    with AdminClient(find_admin(admin, os.environ, Path.cwd())) as client:
        try:
            answer = client.drain(service, instance, _me())
        except Refused as refused:
            return _refused(refused)
        if not as_json:
            already = "" if answer["changed"] else " already"
            typer.echo(f"{instance} of {service} is{already} draining: it takes no new requests.")
        left = _wait(client, answer, timeout) if wait else 0
        if as_json:
            typer.echo(json.dumps({**answer, "requests_left": left if wait else None}, indent=2))
        elif wait and left == 0:
            typer.echo("No request is left.")
        if left is None:
            typer.echo(f"{instance} of {service} is drained no longer: somebody put it back.", err=True)
        elif left:
            typer.echo(f"After {timeout:g} s {left} requests are left; it goes on draining.", err=True)
        return 0 if left == 0 else 1


def undrain(admin: str | None, service: str, instance: str, *, as_json: bool) -> int:
    """Exit code 0, also if it was not drained."""
    with AdminClient(find_admin(admin, os.environ, Path.cwd())) as client:
        try:
            answer = client.drain(service, instance, _me(), undo=True)
        except Refused as refused:
            return _refused(refused)
        if as_json:
            typer.echo(json.dumps(answer, indent=2))
            return 0
        done = "is drained no longer" if answer["changed"] else "was not drained"
        typer.echo(f"{instance} of {service} {done}.")
        return 0


def requests_left(status: Status, service: str, instance: str, generation: int) -> int | None:
    """Requests that are in flight or may still come, while a worker has not heard; None: it is drained no longer."""
    drains = [each for known in status["services"] if known["name"] == service for each in known["drains"]]
    found: DrainStatus | None = next((each for each in drains if each["address"] == instance), None)
    if found is None:
        return None
    unaware = sum(0 < worker["generation"] < generation for worker in status["workers"])
    return found["in_flight"] + unaware


def _wait(client: AdminClient, drain: Drained, timeout: float) -> int | None:
    """What is left, as `requests_left`: nothing, or what there is after the timeout; None as there."""
    end = time.monotonic() + timeout
    while True:
        left = requests_left(client.status(), drain["service"], drain["instance"], drain["generation"])
        if not left or (timeout and time.monotonic() >= end):
            return left
        time.sleep(LOOK_INTERVAL)


def _refused(refused: Refused) -> int:
    if refused.reason not in NOT_KNOWN:
        raise refused
    typer.echo(str(refused), err=True)
    return 2


def _me() -> str:
    """Who drains, for the others to know: user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
