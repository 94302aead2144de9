"""`gw explain`: which route would take a request and why, and what would become of it. Nothing reaches an instance."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.admin_client import AdminClient, Refused, find_admin

if TYPE_CHECKING:
    from cli.render import Line, Screen, Text
    from gateway.admin.explanation import ConsideredRoute, Explained, InstanceExplained, RouteExplained


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
    from cli.render import Screen

    screen = Screen()
    screen.print(lines(screen, told))
    return 0


def lines(screen: Screen, told: Explained) -> list[Text]:
    """The explanation for people."""
    from cli.layout import printable
    from cli.render import Text

    told = printable(told)
    assumed = [word for word, is_so in (("host", told["host_assumed"]), ("client", told["client_assumed"])) if is_so]
    title = f"{told['method']} {told['path']} for {told['host']} from {told['client']}"
    note = f" ({' and '.join(assumed)} assumed)" if assumed else ""
    shown = [
        *_wrapped(screen, Text.assemble((title, "bold"), (note, "dim"))),
        *_wrapped(screen, _verdict(told)),
        Text(),
    ]
    for route in told["routes"]:
        shown += _route(screen, route, is_alone=len(told["routes"]) == 1)
    shown += _considered(screen, "CONSIDERED, in order of precedence", told["considered"])
    shown += _considered(screen, "NEAR, but not for this request", told["near"])
    return shown[:-1] if not shown[-1] else shown


def _wrapped(screen: Screen, text: Text) -> list[Text]:
    return screen.wrap(text, 0)


def _verdict(told: Explained) -> Text:
    from cli.render import Text

    if len(told["routes"]) > 1:
        return Text(f"-> {len(told['routes'])} routes share its requests", "green")
    if told["routes"]:
        return _fate(told["routes"][0])
    text = f"-> {_phrase(told['status'])}: "
    text += f"allowed are {', '.join(told['allow'])}" if told["allow"] else told["detail"] or _words(told["reason"])
    return Text(text, "red" if told["outcome"] == "refused" else "green")


def _fate(route: RouteExplained) -> Text:
    from cli.render import Text

    if route["outcome"] == "forwarded":
        return Text(f"-> forwarded to service {route['service']}", "green")
    if route["outcome"] == "redirected":
        return Text(f"-> {_phrase(route['status'])} to {route['location']}", "yellow")
    return Text(f"-> {_phrase(route['status'])}: {route['detail'] or _words(route['reason'])}", "red")


def _words(slug: str) -> str:
    return slug.replace("_", " ")


def _phrase(status: int | None) -> str:
    return "the service's answer" if status is None else f"{status} {HTTPStatus(status).phrase}"


def _route(screen: Screen, route: RouteExplained, *, is_alone: bool) -> list[Text]:
    """One route's part: what it does to the request, and who would answer."""
    from cli.render import HEADING, Text

    name = f"{','.join(route['methods']) or 'any method'} {route['host']}{route['path']}"
    title = Text.assemble(("ROUTE ", HEADING), (name, "bold"), f" -> {route['service']}")
    facts: list[tuple[str, str]] = [("origin", route["origin"])]
    if route["options"]:
        facts.append(("options", route["options"]))
    shown = _wrapped(screen, title)
    if not is_alone:
        facts.append(("share", f"{route['share']:.0%} of the requests"))
        facts.append(("fate", _fate(route).plain.removeprefix("-> ")))
    facts += _facts(route)
    width = max(len(label) for label, _ in facts)
    for label, text in facts:
        first, *rest = screen.wrap(Text(text), width + 4)
        shown.append(Text.assemble("  ", (label.ljust(width), "dim"), "  ", first))
        shown += [Text(" " * (width + 4)).append_text(each) for each in rest]
    if route["outcome"] != "redirected":
        shown += [Text(), *_instances(screen, route["instances"])]
    return [*shown, Text()]


def _facts(route: RouteExplained) -> list[tuple[str, str]]:
    changes, limits, balance = route["changes"], route["limits"], route["balance"]
    facts: list[tuple[str, str]] = []
    if changes["access"]:
        facts.append(("access", changes["access"]))
    if route["outcome"] == "redirected":
        return facts
    facts.append(("path", changes["target"] + (" (changed)" if changes["target_changed"] else " (as it came)")))
    if changes["added"]:
        facts.append(("added", "; ".join(f"{name}: {value}" for name, value in changes["added"])))
    if changes["removed"]:
        facts.append(("removed", ", ".join(changes["removed"])))
    per_try = f", {limits['per_try_timeout']:g} s an attempt" if limits["per_try_timeout"] else ""
    facts.append(("timeout", f"{limits['timeout']:g} s{per_try}, {limits['connect_timeout']:g} s to connect"))
    facts.append(("retries", limits["retries"]))
    key = f" ({balance['hash_on']})" if balance["hash_on"] else ""
    facts.append(("balance", f"{balance['policy']}{key}: {balance['rule']}"))
    if balance["next"]:
        facts.append(("next", f"{balance['next']}, by the key of this request"))
    return facts


def _instances(screen: Screen, instances: Sequence[InstanceExplained]) -> list[Text]:
    from cli.render import Column, Text

    columns = [
        Column("  INSTANCE"),
        Column("USED"),
        Column("SHARE", right=True),
        Column("WEIGHT", right=True, optional=True),
        Column("IN FLIGHT", right=True, optional=True),
        Column("SINCE (UTC)", optional=True),
        Column("WHY", flexible=True),
    ]
    rows: list[Line] = [
        [
            Text(f"  {each['address']}"),
            Text("yes", "green") if each["candidate"] else Text("no", "red"),
            Text("by load" if each["share"] is None else f"{each['share']:.0%}"),
            Text(f"{each['weight']:g}"),
            Text(str(each["in_flight"])),
            Text(each["since"][:19].replace("T", " "), "dim"),
            Text(": ".join(filter(None, [_words(each["reason"]), each["detail"]]))),
        ]
        for each in instances
    ]
    return screen.table(columns, rows or [Text("  The service has no instances.", "yellow")])


def _considered(screen: Screen, heading: str, routes: Sequence[ConsideredRoute]) -> list[Text]:
    from cli.render import HEADING, Column, Text

    if not routes:
        return []
    columns = [Column("  ROUTE"), Column("SERVICE", optional=True), Column("WHY", flexible=True)]
    rows: list[Line] = [
        [
            Text(("* " if each["chosen"] else "  ") + _name(each), "bold" if each["chosen"] else ""),
            Text(each["service"]),
            Text(each["reason"], "" if each["chosen"] else "dim"),
        ]
        for each in routes
    ]
    return [Text(heading, HEADING), *screen.table(columns, rows), Text()]


def _name(route: ConsideredRoute) -> str:
    methods = f"{','.join(route['methods'])} " if route["methods"] else ""
    return f"{methods}{route['host']}{route['path']}" or "(any host)"
