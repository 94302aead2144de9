"""What `gw explain` shows: the request, its fate, each route's part in it, and what else was considered."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

from cli.layout import printable, words
from cli.render import HEADING, Column, Line, Screen, Text

if TYPE_CHECKING:
    from gateway.admin.explanation import ConsideredRoute, Explained, InstanceExplained, RouteExplained


def explained(screen: Screen, told: Explained) -> list[Text]:
    """The explanation for people."""
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
    if len(told["routes"]) > 1:
        return Text(f"-> {len(told['routes'])} routes share its requests", "green")
    if told["routes"]:
        return _fate(told["routes"][0])
    text = f"-> {_phrase(told['status'])}: "
    text += f"allowed are {', '.join(told['allow'])}" if told["allow"] else told["detail"] or words(told["reason"])
    return Text(text, "red" if told["outcome"] == "refused" else "green")


def _fate(route: RouteExplained) -> Text:
    if route["outcome"] == "forwarded":
        return Text(f"-> forwarded to service {route['service']}", "green")
    if route["outcome"] == "redirected":
        return Text(f"-> {_phrase(route['status'])} to {route['location']}", "yellow")
    return Text(f"-> {_phrase(route['status'])}: {route['detail'] or words(route['reason'])}", "red")


def _phrase(status: int | None) -> str:
    return "the service's answer" if status is None else f"{status} {HTTPStatus(status).phrase}"


def _route(screen: Screen, route: RouteExplained, *, is_alone: bool) -> list[Text]:
    """One route's part: what it does to the request, and who would answer."""
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
            Text(": ".join(filter(None, [words(each["reason"]), each["detail"]]))),
        ]
        for each in instances
    ]
    return screen.table(columns, rows or [Text("  The service has no instances.", "yellow")])


def _considered(screen: Screen, heading: str, routes: Sequence[ConsideredRoute]) -> list[Text]:
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
