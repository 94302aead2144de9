"""`gw wait`: returns when the gateway has come as far as a deploy script needs it to have.

A gateway that is not there yet, or is just being replaced, is waited for as well, so that a script may start it in the
background and wait at once.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from cli.admin_client import AdminClient, NobodyAnswers, find_admin

if TYPE_CHECKING:
    from gateway.admin.progress import Progress, ServiceProgress

LOOK_INTERVAL: Final = 0.1  # seconds between looks
ANSWER_TIME: Final = 2.0  # seconds that one look may take
NAMED: Final = 10  # instances or services named at most, where something is missing


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is waited for. Without generation and service: that the gateway is ready."""

    generation: int | None = None
    service: str = ""
    healthy: int = 1


def wait(
    admin: str | None,
    *,
    generation: int | None,
    service: str | None,
    healthy: int | None,
    timeout: float,
    as_json: bool,
) -> int:
    """Exit code 0 once it is so; after `timeout` seconds (0: never) 1, or 3 if nobody answered at the end."""
    if healthy is not None and not service:
        typer.echo("--healthy counts the instances of a service: name it with --service.", err=True)
        return 2
    wanted = Wanted(generation, service or "", 1 if healthy is None else healthy)
    began = time.monotonic()
    with AdminClient(find_admin(admin, os.environ, Path.cwd())) as client:
        while True:
            waited = time.monotonic() - began
            left = timeout - waited if timeout else ANSWER_TIME
            found: Progress | None = None
            silence: NobodyAnswers | None = None
            try:
                found = client.progress(wanted.service, max(LOOK_INTERVAL, min(ANSWER_TIME, left)))
                missing = what_is_missing(found, wanted)
            except NobodyAnswers as error:
                silence, missing = error, [str(error).partition("\n")[0]]
            if not missing or (timeout and time.monotonic() - began >= timeout):
                break
            time.sleep(LOOK_INTERVAL if not timeout else max(0.0, min(LOOK_INTERVAL, left)))
    if as_json:
        outcome = {"fulfilled": not missing, "waited_seconds": round(waited, 3), "missing": missing, "progress": found}
        typer.echo(json.dumps(outcome, indent=2))
    if not missing:
        if not as_json and found is not None:
            typer.echo(_success(found, wanted))
        return 0
    typer.echo(f"After {timeout:g} s: {'; '.join(missing).rstrip('.')}.", err=True)
    return 1 if silence is None else 3


def what_is_missing(found: Progress, wanted: Wanted) -> list[str]:
    """What has not come true yet, in words; nothing: all has."""
    if wanted.service:
        missing = _service_missing(found, wanted)
        # It holds once the workers know: they pick.
        generation = found["generation"] if wanted.generation is None else wanted.generation
        return missing + _workers_missing(found, max(generation, found["generation"]))
    if wanted.generation is not None:
        return _workers_missing(found, wanted.generation)
    return [*found["not_ready"], *([] if found["not_ready"] else _workers_missing(found, found["generation"]))]


def _workers_missing(found: Progress, generation: int) -> list[str]:
    behind = [
        f"worker {each['id']} " + (f"uses generation {each['generation']}" if each["generation"] else "uses none yet")
        for each in found["workers"]
        if each["generation"] < generation
    ]
    if not behind:
        return []
    newest = f"the gateway's newest is {found['generation']}"
    beyond = f" ({newest})" if generation > found["generation"] else ""
    return [f"generation {generation} is not in use everywhere{beyond}: {_some(behind)}"]


def _service_missing(found: Progress, wanted: Wanted) -> list[str]:
    service: ServiceProgress | None = found["service"]
    if service is None:
        there = f"there are {_some(found['services'])}" if found["services"] else "there are no services"
        return [f"there is no service {wanted.service!r}, {there}"]
    if service["eligible"] >= wanted.healthy:
        return []
    why = [
        f"{each['address']} is {each['reason'].replace('_', ' ')}" + (f" ({each['detail']})" if each["detail"] else "")
        for each in service["instances"]
        if not each["eligible"]
    ]
    all_there = f"it has {len(service['instances'])} in all"
    return [
        f"service {wanted.service!r} has {service['eligible']} healthy of the {wanted.healthy} instances waited for: "
        + (_some(why) if why else all_there)
    ]


def _some(each: list[str]) -> str:
    more = len(each) - NAMED
    return ", ".join(each[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _success(found: Progress, wanted: Wanted) -> str:
    if wanted.service and found["service"] is not None:
        return f"Service {wanted.service} has {found['service']['eligible']} healthy instances, known to every worker."
    if wanted.generation is not None:
        oldest = min((each["generation"] for each in found["workers"]), default=found["generation"])
        return f"Every worker uses generation {oldest}."
    return f"The gateway is ready; every worker uses generation {found['generation']}."
