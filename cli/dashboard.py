"""What `gw status`, `gw routes` and `gw services` show: lines for a `Screen`.

In a window too low for everything, what is wrong goes before what is well. Colour never carries a
meaning alone: there is always a word or a sign as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cli.layout import age, duration, long_age, printable, rate, seconds_between, size, words
from cli.rates import Rates
from cli.render import Column, Line, Screen, Text

if TYPE_CHECKING:
    from gateway.admin.status import (
        InstanceStatus,
        ProblemStatus,
        RouteStatus,
        RouteTables,
        ServiceStatus,
        ServiceTables,
        SourceStatus,
        Status,
    )

ODD_BUT_USED = ("fail_open", "provisional")  # takes traffic, and someone should look
WORKER_COLOURS = {
    "serving": "green",
    "starting": "yellow",
    "draining": "yellow",
    "restarting": "red",
    "orphaned": "red",
}
HEALTH_COLOURS = {"healthy": "green", "unhealthy": "red", "unknown": "yellow", "unchecked": "dim"}


@dataclass(frozen=True, slots=True)
class Silence:
    """A gateway that answered before does not any more."""

    where: str
    seconds: float
    why: str


class Dashboard:
    """Turns the gateway's answers into lines that fit a screen."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen

    def routes(self, tables: RouteTables) -> list[Text]:
        """The routes in force."""
        tables = printable(tables)
        columns = [
            Column("ROUTE"),
            Column("METHODS"),
            Column("SERVICE"),
            Column("REQUESTS", right=True),
            Column("TIMEOUT", right=True, optional=True),
            Column("RETRIES", right=True, optional=True),
            Column("ORIGIN", flexible=True),
        ]
        rows: list[Line] = [
            [
                Text(route["host"] + route["path"], "bold"),
                Text(",".join(route["methods"]) or "all", "" if route["methods"] else "dim"),
                Text(route["service"] + _remark(route)),
                Text(f"{route['requests_total']:,}"),
                Text(f"{route['timeout']:g} s"),
                Text(str(route["retry_count"])),
                Text(route["origin"], "dim"),
            ]
            for route in tables["routes"]
        ]
        if not rows:
            rows = [Text("No routes: every request is answered 404.", "yellow")]
        return [*self.screen.table(columns, rows), *self._problems(tables["problems"])]

    def services(self, tables: ServiceTables) -> list[Text]:
        """The services in force with their instances."""
        tables = printable(tables)
        columns = [
            Column("INSTANCE"),
            Column("HEALTH"),
            Column("WEIGHT", right=True),
            Column("REQUESTS", right=True),
            Column("FAILED", right=True),
            Column("PROBES FAILED", right=True, optional=True),
            Column("EJECTIONS", right=True, optional=True),
            Column("FLAPS", right=True, optional=True),
            Column("WHY", flexible=True),
        ]
        rows: list[Line] = []
        for service in tables["services"]:
            rows.append(self._service(service, with_origin=True))
            for instance in service["instances"]:
                probes = instance["checks_ok"] + instance["checks_failed"]
                rows.append(
                    [
                        self._address(instance, with_name=self.screen.is_wide),
                        self._health(instance),
                        Text(f"{instance['weight']:g}"),
                        Text(f"{instance['requests_total']:,}"),
                        self._failures(instance),
                        Text(f"{instance['checks_failed']:,} of {probes:,}" if probes else "-"),
                        Text(f"{instance['ejections_total']:,}"),
                        self._flaps(instance),
                        self._why(instance),
                    ]
                )
        if not rows:
            rows = [Text("No services: there is nothing to route to.", "yellow")]
        return [*self.screen.table(columns, rows), *self._problems(tables["problems"])]

    def status(
        self, status: Status, rates: Rates, silence: Silence | None = None, height: int | None = None
    ) -> list[Text]:
        """The dashboard; with a `height`, in at most so many lines."""
        status = printable(status)
        head = [*self._silence(silence), *self._head(status, rates), Text()]
        problems = self._problems(status["problems"])
        lines: list[Text] = []
        for few, cramped in ((False, False), (False, True), (True, True)):
            workers = self._workers(status, rates, few=few and len(status["workers"]) > 4)
            services = self._services(status, rates, few=few, cramped=cramped)
            problems = self._problems(status["problems"], limit=2 if cramped else None)
            lines = [*head, *workers, Text(), *services, *problems]
            if height is None or len(lines) <= height:
                return lines
        assert height is not None
        if len(lines) > height:  # problems keep their place at the bottom; the middle gives way
            room = max(1, height - len(problems) - 1)
            note = f"{len(lines) - len(problems) - room} lines more: `gw status` prints them all"
            lines = [*lines[:room], Text(note, "dim italic"), *problems][:height]
        return lines

    def _silence(self, silence: Silence | None) -> list[Text]:
        if silence is None:
            return []
        line = Text(f" NO ANSWER from {silence.where} for {age(silence.seconds)} ", "bold white on red")
        note = Text(f"{silence.why} Trying again; what follows is the last that was heard.", "red")
        return [line, *self.screen.wrap(note, 0), Text()]

    def _head(self, status: Status, rates: Rates) -> list[Text]:
        if status["draining"]:
            state = Text(f"{self.screen.ring} draining", "bold yellow")
        elif status["ready"]:
            state = Text(f"{self.screen.dot} ready", "bold green")
        else:
            state = Text(f"{self.screen.cross} not ready: " + "; ".join(status["not_ready"]), "bold red")
        facts = [f"gw {status['version']}", f"up {long_age(status['uptime_seconds'])}"]
        title = Text.assemble((status["name"], "bold"), "  ", state, "  ", (self.screen.join(*facts), "dim"))

        workers = status["workers"]
        traffic = [
            f"{rate(rates.requests)} req/s",
            f"p50 {duration(rates.p50)}",
            f"p99 {duration(rates.p99)}",
            f"{sum(worker['in_flight'] for worker in workers):,} in flight",
            f"{sum(worker['connections'] for worker in workers):,} connections",
        ]
        failing = Text(f"{rate(rates.errors)} errors/s", "bold red" if rates.errors > 0 else "")
        busy = Text.assemble(
            traffic[0], f" {self.screen.bar} ", failing, f" {self.screen.bar} ", self.screen.join(*traffic[1:])
        )
        place = self.screen.join(
            ", ".join(status["listen"]) or "nowhere", status["config_file"] or "no configuration file"
        )
        pairs = [
            ("traffic", busy),
            ("listen", Text(f"{place} {self.screen.bar} generation {status['generation']}")),
            ("discovery", self._discovery(status["discovery"], _gateway_now(status))),
        ]
        lines = self.screen.wrap(title, 0)
        for label, value in pairs:
            first, *rest = self.screen.wrap(value, 11)
            lines.append(Text.assemble((f"{label:11}", "dim"), first))
            lines += [Text(" " * 11).append_text(line) for line in rest]
        return lines

    def _discovery(self, sources: Sequence[SourceStatus], now: str) -> Text:
        parts: list[Text] = []
        for source in sources:
            if source["stale"]:
                since = age(seconds_between(source["stale_since"], now)) if source["stale_since"] else "its start"
                error = f": {source['error']}" if source["error"] else ""
                last = source["last_success"]
                heard = f" (last answer {age(seconds_between(last, now))} ago)" if last else " (never answered)"
                text = f"{self.screen.cross} {source['source']} stale for {since}{heard}{error}"
                parts.append(Text(text, "bold yellow"))
            elif source["last_success"] is None:
                parts.append(Text(f"{self.screen.ring} {source['source']} waiting for its first answer", "yellow"))
            else:
                parts.append(Text.assemble((self.screen.dot, "green"), f" {source['source']} fresh"))
        return Text(f" {self.screen.bar} ").join(parts) if parts else Text("no sources", "dim")

    def _workers(self, status: Status, rates: Rates, *, few: bool) -> list[Text]:
        """All of them, or with `few` those that are not serving and a line for the rest."""
        columns = [
            Column("WORKER"),
            Column("PID", right=True, optional=True),
            Column("STATE"),
            Column("CONNS" if self.screen.is_narrow else "CONNECTIONS", right=True),
            Column("IN FLIGHT", right=True),
            Column("REQ/S", right=True),
            Column("MEMORY", right=True, optional=True),
            Column("RESTARTS", right=True, optional=True),
            Column("GENERATION", right=True, optional=True),
        ]
        rows: list[Line] = []
        well = 0
        for worker in status["workers"]:
            if few and worker["state"] == "serving":
                well += 1
                continue
            behind = worker["generation"] != status["generation"]
            rows.append(
                [
                    Text(str(worker["id"])),
                    Text(str(worker["pid"] or "-"), "dim"),
                    Text(worker["state"], WORKER_COLOURS.get(worker["state"], "")),
                    Text(f"{worker['connections']:,}"),
                    Text(f"{worker['in_flight']:,}"),
                    Text(rate(rates.workers.get(worker["id"], 0.0))),
                    Text(size(worker["rss_bytes"])),
                    Text(f"{worker['restarts']:,}", "yellow" if worker["restarts"] else "dim"),
                    Text(f"{worker['generation']:,}", "yellow" if behind else "dim"),
                ]
            )
        if well:
            rows.append(Text(f"{well} {'more ' if rows else ''}workers are serving", "dim"))
        return self.screen.table(columns, rows)

    def _services(self, status: Status, rates: Rates, *, few: bool, cramped: bool) -> list[Text]:
        """All services with all instances, or with `few` those instances that need a look and a line for the rest."""
        now = _gateway_now(status)
        columns = [
            Column("INSTANCE"),
            Column("HEALTH"),
            Column("SINCE", right=True),
            Column("FLAPS", right=True, optional=True),
            Column("WEIGHT", right=True, optional=True),
            Column("BUSY" if self.screen.is_narrow else "IN FLIGHT", right=True),
            Column("REQ/S", right=True),
            Column("P50", right=True, optional=True),
            Column("P99", right=True, optional=True),
            Column("FAILED", right=True),
            Column("WHY", flexible=True),
        ]
        rows: list[Line] = []
        for service in status["services"]:
            rows += [Text()] if rows and not cramped else []
            rows.append(self._service(service, with_origin=not self.screen.is_narrow))
            well = [i for i in service["instances"] if i["eligible"] and i["reason"] not in ODD_BUT_USED]
            folded = few and len(well) > 1
            for instance in service["instances"]:
                if folded and instance in well:
                    continue
                key = (service["name"], instance["address"])
                p50, p99 = rates.latencies.get(key, (None, None))
                rows.append(
                    [
                        self._address(instance, with_name=self.screen.is_wide),
                        self._health(instance),
                        Text(age(seconds_between(instance["since"], now)), "dim"),
                        self._flaps(instance),
                        Text(f"{instance['weight']:g}"),
                        Text(f"{instance['in_flight']:,}"),
                        Text(rate(rates.instances.get(key, 0.0))),
                        Text(duration(p50)),
                        Text(duration(p99)),
                        self._failures(instance),
                        self._why(instance),
                    ]
                )
            if folded:
                flow = sum(rates.instances.get((service["name"], i["address"]), 0.0) for i in well)
                rows.append(
                    Text(f"  {self.screen.dot} {len(well)} instances take traffic, {rate(flow)} req/s", "green")
                )
        if not rows:
            rows = [Text("No services: there is nothing to route to.", "yellow")]
        return self.screen.table(columns, rows, whole=not cramped)

    def _problems(self, problems: Sequence[ProblemStatus], limit: int | None = None) -> list[Text]:
        if not problems:
            return []
        lines = [Text(), Text(f"PROBLEMS ({len(problems)})", "bold yellow")]
        for problem in problems[:limit]:
            text = Text.assemble(("! ", "bold yellow"), (problem["origin"], "bold"), ": ", problem["message"])
            wrapped = self.screen.wrap(text, 2)
            lines += [wrapped[0], *(Text("  ").append_text(line) for line in wrapped[1:])]
        if limit is not None and len(problems) > limit:
            lines.append(Text(f"  and {len(problems) - limit} more: `gw routes` prints them all", "dim"))
        return lines

    # --- cells --------------------------------------------------------------------------------

    def _service(self, service: ServiceStatus, *, with_origin: bool) -> Text:
        instances = service["instances"]
        used = sum(instance["eligible"] for instance in instances)
        count = f"{used} of {len(instances)} take traffic" if instances else "no instances"
        in_reserve = sum(instance["reason"] == "reserve" for instance in instances)
        colour = "green" if used == len(instances) - in_reserve and used else ("yellow" if used else "bold red")
        datacenter = [f"datacenter {service['datacenter']}"] if service["failover"] else []
        parts = [service["balance"], *datacenter, *([service["origin"]] if with_origin else [])]
        return Text.assemble(
            (service["name"], "bold"),
            "  ",
            (count, colour),
            "  ",
            ("FAILS OPEN  " if service["failing_open"] else "", "bold red"),
            (self.screen.join(*map(words, parts[:1]), *parts[1:]), "dim"),
        )

    def _address(self, instance: InstanceStatus, *, with_name: bool) -> Text:
        if instance["eligible"]:
            sign, colour = self.screen.dot, "yellow" if instance["reason"] in ODD_BUT_USED else "green"
        elif instance["reason"] in ("unhealthy", "critical", "ejected"):
            sign, colour = self.screen.cross, "red"
        else:
            sign, colour = self.screen.ring, "yellow"
        name = f" {instance['name']}" if with_name and instance["name"] else ""
        return Text.assemble("  ", (sign, colour), " ", instance["address"], (name, "dim"))

    def _health(self, instance: InstanceStatus) -> Text:
        return Text(instance["health"], HEALTH_COLOURS.get(instance["health"], ""))

    def _why(self, instance: InstanceStatus) -> Text:
        reason, detail = instance["reason"], instance["detail"]
        if reason == "eligible":
            return Text(detail, "dim")
        colour = "yellow" if instance["eligible"] else ""
        if detail and reason == "unhealthy":  # the word beside says so already
            return Text(detail, colour)
        return Text(f"{words(reason)}: {detail}" if detail else words(reason), colour)

    def _flaps(self, instance: InstanceStatus) -> Text:
        return Text(f"{instance['flaps']:,}", "yellow" if instance["flaps"] else "dim")

    def _failures(self, instance: InstanceStatus) -> Text:
        return Text(f"{instance['failures_total']:,}", "red" if instance["failures_total"] else "dim")


def _remark(route: RouteStatus) -> str:
    """What a route does besides."""
    options = [route["options"]] if route["options"] else []
    if route["strip_path"]:
        options.append("strips its path")
    return f" ({', '.join(options)})" if options else ""


def _gateway_now(status: Status) -> str:
    """The gateway's own clock at the sample: ages must not depend on the clock here."""
    started = datetime.fromisoformat(status["started_at"])
    return (started + timedelta(seconds=status["uptime_seconds"])).isoformat()
