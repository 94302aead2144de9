"""The dashboard's head: how the gateway is, its traffic, its configuration, its sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from cli.cells import gateway_now
from cli.layout import age, duration, long_age, rate, seconds_between
from cli.picture import PAST, Picture, Silence
from cli.render import Screen, Text
from cli.sparkline import sparkline

if TYPE_CHECKING:
    from gateway.admin.status import SourceStatus, Status

LABEL: Final = 11  # columns
LEAST_SPARK: Final = 10  # columns, below which a sparkline says nothing


def header(screen: Screen, picture: Picture, *, brief: bool = False) -> list[Text]:
    """With `brief`, without what seldom changes."""
    status = picture.status
    lines = [*_silence(screen, picture.silence), *_restart(picture), *screen.wrap(_title(screen, status), 0)]
    pairs = [("traffic", _traffic(screen, picture))]
    if not brief:
        past = _past(screen, picture)
        pairs += [("", past)] if past else []
        pairs.append(("config", _config(screen, status)))
    sources = [source for source in status["discovery"] if source["stale"] or not brief]
    if sources or not brief:
        pairs.append(("discovery", _discovery(screen, sources, gateway_now(status))))
    for label, value in pairs:
        if brief:
            lines.append(screen.cut(Text.assemble((f"{label:{LABEL}}", "dim"), value)))
            continue
        first, *rest = screen.wrap(value, LABEL)
        lines.append(Text.assemble((f"{label:{LABEL}}", "dim"), first))
        lines += [Text(" " * LABEL).append_text(line) for line in rest]
    return lines


def _silence(screen: Screen, silence: Silence | None) -> list[Text]:
    if silence is None:
        return []
    line = Text(f" NO ANSWER from {silence.where} for {age(silence.seconds)} ", "bold white on red")
    note = Text(f"{silence.why} Trying again; what follows is the last that was heard.", "red")
    return [line, *screen.wrap(note, 0), Text()]


def _restart(picture: Picture) -> list[Text]:
    if not picture.restarted:
        return []
    since = long_age(picture.status["uptime_seconds"])
    return [Text(f" THE GATEWAY RESTARTED {since} ago: its counters began anew ", "bold black on yellow")]


def _title(screen: Screen, status: Status) -> Text:
    if status["draining"]:
        state = Text(f"{screen.ring} draining", "bold yellow")
    elif status["ready"]:
        state = Text(f"{screen.dot} ready", "bold green")
    else:
        state = Text(f"{screen.cross} not ready: " + "; ".join(status["not_ready"]), "bold red")
    facts = (
        f"gw {status['version']}",
        f"up {long_age(status['uptime_seconds'])}",
        f"generation {status['generation']:,}",
    )
    return Text.assemble((status["name"], "bold"), "  ", state, "  ", (screen.join(*facts), "dim"))


def _traffic(screen: Screen, picture: Picture) -> Text:
    rates, workers = picture.rates, picture.status["workers"]
    failing = Text(f"{rate(rates.errors)} errors/s", "bold red" if rates.errors >= 0.05 else "")
    parts = [
        Text(f"{rate(rates.requests)} req/s"),
        failing,
        Text(f"p50 {duration(rates.p50)}"),
        Text(f"p99 {duration(rates.p99)}"),
        Text(f"{sum(worker['in_flight'] for worker in workers):,} in flight"),
        Text(f"{sum(worker['connections'] for worker in workers):,} connections"),
    ]
    return Text(f" {screen.bar} ").join(parts)


def _past(screen: Screen, picture: Picture) -> Text | None:
    """Requests and errors of the last minutes as two sparklines."""
    past = picture.gateway_past()
    if past is None or not screen.is_unicode or not past["requests_per_second"]:
        return None
    width = min(60, (screen.width - LABEL - len("requests   errors   last 2m")) // 2)
    if width < LEAST_SPARK:
        return None
    errors = sparkline(past["errors_per_second"], width, _peak(past["errors_per_second"]) or 1.0)
    return Text.assemble(
        ("requests ", "dim"),
        (sparkline(past["requests_per_second"], width), "cyan"),
        ("  errors ", "dim"),
        (errors, "red" if _peak(past["errors_per_second"]) else "dim"),
        (f"  last {age(PAST)}", "dim"),
    )


def _peak(values: Sequence[float | None]) -> float:
    return max((value for value in values if value is not None), default=0.0)


def _config(screen: Screen, status: Status) -> Text:
    """Which file, when it was read, whether what is there now could be; where requests come in."""
    reloads = status["reloads"]
    read = f"read {age(seconds_between(reloads['last_success'], gateway_now(status)))} ago"
    listen = f"listens on {', '.join(status['listen']) or 'nowhere'}"
    file = status["config_file"]
    if reloads["last_successful"]:
        return Text(screen.join(*([file, read] if file else ["no configuration file"]), listen))
    failure = Text("the last reload FAILED: this is the one before", "bold red")
    return Text(f" {screen.bar} ").join([Text(file or "no configuration file"), Text(read), failure, Text(listen)])


def _discovery(screen: Screen, sources: Sequence[SourceStatus], now: str) -> Text:
    parts: list[Text] = []
    for source in sources:
        last = source["last_success"]
        if source["stale"]:
            since = age(seconds_between(source["stale_since"], now)) if source["stale_since"] else "its start"
            error = f": {source['error']}" if source["error"] else ""
            heard = f" (last answer {age(seconds_between(last, now))} ago)" if last else " (never answered)"
            parts.append(Text(f"{screen.cross} {source['source']} stale for {since}{heard}{error}", "bold yellow"))
        elif last is None:
            parts.append(Text(f"{screen.ring} {source['source']} waiting for its first answer", "yellow"))
        else:
            ago = f" fresh, {age(seconds_between(last, now))} ago"
            parts.append(Text.assemble((screen.dot, "green"), f" {source['source']}", ago))
    return Text(f" {screen.bar} ").join(parts) if parts else Text("no sources", "dim")
