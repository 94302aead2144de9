"""`gw status --plain`: a fact a line, in words, for those who listen to a screen instead of looking at it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from cli.cells import gateway_now, percent
from cli.layout import duration, long_age, rate, seconds_between, size, words
from cli.ordering import arrange
from cli.picture import Picture
from cli.view import View

RECENT = 8  # transitions


def facts(picture: Picture) -> Iterator[str]:
    """What is wrong comes first in each part."""
    status, rates = picture.status, picture.rates
    now = gateway_now(status)
    if picture.silence:
        yield f"No answer from {picture.silence.where} for {long_age(picture.silence.seconds)}: {picture.silence.why}"
    if picture.restarted:
        yield f"The gateway restarted {long_age(status['uptime_seconds'])} ago."
    state = "draining" if status["draining"] else "ready" if status["ready"] else "not ready"
    yield f"Gateway {status['name']}: {state}{''.join(f', {reason}' for reason in status['not_ready'])}."
    yield f"Version {status['version']}, up {long_age(status['uptime_seconds'])}, generation {status['generation']}."
    reloads = status["reloads"]
    read = long_age(seconds_between(reloads["last_success"], now))
    failed = "" if reloads["last_successful"] else ", the last reload failed"
    yield f"Configuration: {status['config_file'] or 'no file'}, read {read} ago{failed}."
    yield f"Listens on {', '.join(status['listen']) or 'nothing'}."
    yield (
        f"Traffic: {rate(rates.requests)} requests per second, {rate(rates.errors)} errors per second, "
        f"median {duration(rates.p50)}, 99th percentile {duration(rates.p99)}."
    )
    for problem in status["problems"]:
        yield f"Problem: {problem['origin']}: {problem['message']}"
    for source in status["discovery"]:
        state = "stale" if source["stale"] else "fresh" if source["last_success"] else "waiting for its first answer"
        last = long_age(seconds_between(source["last_success"], now)) if source["last_success"] else ""
        error = f", {source['error']}" if source["error"] else ""
        yield f"Discovery {source['source']}: {state}{f', last answer {last} ago' if last else ''}{error}."
    for worker in status["workers"]:
        yield (
            f"Worker {worker['id']}: {worker['state']}, process {worker['pid']}, "
            f"{worker['connections']} connections, {worker['in_flight']} in flight, "
            f"{rate(rates.workers.get(worker['id'], 0.0))} requests per second, "
            f"{rates.cpu.get(worker['id'], 0.0) * 100:.0f}% CPU, memory {size(worker['rss_bytes'])}, "
            f"{worker['restarts']} restarts, generation {worker['generation']}."
        )
    yield from _services(picture, now)


def _services(picture: Picture, now: str) -> Iterator[str]:
    rates = picture.rates
    entries: list[tuple[str, str]] = []
    for each in arrange(picture.status["services"], rates, View()):
        service, name = each.service, each.service["name"]
        used = sum(instance["eligible"] for instance in service["instances"])
        keys = [(name, instance["address"]) for instance in service["instances"]]
        yield (
            f"Service {name}: {used} of {len(keys)} instances take traffic"
            f"{', fails open' if service['failing_open'] else ''}, {words(service['balance'])}, "
            f"{rate(sum(rates.instances.get(key, 0.0) for key in keys))} requests per second, "
            f"{percent(rates.failing(*keys) or 0.0)} errors."
        )
        for instance in each.instances:
            key = (name, instance["address"])
            p50, p99 = rates.latencies.get(key, (None, None))
            latency = "" if p50 is None else f", median {duration(p50)}, 99th percentile {duration(p99)}"
            takes = "takes traffic" if instance["eligible"] else "takes no traffic"
            reason = "" if instance["reason"] in ("eligible", instance["health"]) else f", {words(instance['reason'])}"
            detail = f", {instance['detail']}" if instance["detail"] else ""
            last = instance.get("last_probe")
            word = "ok" if last and last["ok"] else "failed"
            probe = f", last probe {word} {long_age(seconds_between(last['at'], now))} ago" if last else ""
            yield (
                f"Instance {instance['address']} of {name}: {takes}, {instance['health']}{reason}{detail}, "
                f"for {long_age(seconds_between(instance['since'], now))}, weight {instance['weight']:g}, "
                f"{instance['in_flight']} in flight, {rate(rates.instances.get(key, 0.0))} requests per second, "
                f"{percent(rates.failing(key) or 0.0)} errors{latency}, "
                f"{instance['ejections_total']} ejections{probe}."
            )
            entries += [
                (
                    entry["at"],
                    f"{name} {instance['address']} became {words(entry['to'])}, before {words(entry['from'])}, "
                    f"by {entry['who']}: {entry['detail'] or words(entry['reason'])}.",
                )
                for entry in instance["history"]
            ]
    for at, text in sorted(entries, reverse=True)[:RECENT]:
        yield f"{long_age(seconds_between(at, now))} ago: {text}"
