"""What would change if a running gateway took over a file: by service, route and key. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict, cast

from gateway.config.describe import Config, Values, consul_defaults, needs_restart

CONSUL = "consul.address"  # it alone turns Consul on


class KeyChange(TypedDict):
    """One key; `old` or `new` is None where there was or will be none."""

    key: str
    old: object
    new: object


class EntryChange(TypedDict):
    """One service or route."""

    name: str
    change: str  # "added", "changed" or "removed"
    keys: list[KeyChange]  # of one that is changed


class SettingChange(TypedDict):
    """One key outside of services and routes."""

    key: str
    old: object
    new: object
    needs_restart: bool


class FixedKey(TypedDict):
    """A key that the file says otherwise, which does not count: environment or flags of the running gateway win."""

    key: str
    given_by: str
    running: object
    file: object


class Diff(TypedDict):
    """Everything that would change."""

    identical: bool
    services: list[EntryChange]
    routes: list[EntryChange]
    settings: list[SettingChange]
    fixed: list[FixedKey]


def diff(running: Config, file: Config) -> Diff:
    """From what runs to what the file says. Both as `describe` makes them, the file's with nothing laid over it.

    A secret is compared as it is shown: set or not.
    """
    services = _entries(running["services"], file["services"])
    routes = _entries(_by_pattern(running["routes"]), _by_pattern(file["routes"]))
    settings, fixed = _settings(running, file)
    return Diff(
        identical=not (services or routes or settings),
        services=services,
        routes=routes,
        settings=settings,
        fixed=fixed,
    )


def _settings(running: Config, file: Config) -> tuple[list[SettingChange], list[FixedKey]]:
    given_by, new = running["given_by"], file["settings"]
    if CONSUL in given_by and CONSUL not in new:  # the environment goes on to turn Consul on
        new = new | consul_defaults()
    if "consul.token_file" in given_by or "consul.token" in given_by:  # either replaces the other
        given_by = given_by | {f"consul.{key}": _token_giver(given_by) for key in ("token", "token_file")}
    changes: list[SettingChange] = []
    fixed: list[FixedKey] = []
    for each in _keys(running["settings"], new):
        key, old, after = each["key"], each["old"], each["new"]
        if key not in given_by:
            changes.append(SettingChange(key=key, old=old, new=after, needs_restart=needs_restart(key)))
        elif after is not None:
            fixed.append(FixedKey(key=key, given_by=given_by[key], running=old, file=after))
    return changes, fixed


def _token_giver(given_by: Mapping[str, str]) -> str:
    return given_by.get("consul.token_file") or given_by["consul.token"]


def _by_pattern(routes: Mapping[str, Values]) -> dict[str, Values]:
    """By host and path alone where that tells them apart: another set of methods is a change of the same route."""
    patterns = {name: f"{values['host']}{values['path']}" for name, values in routes.items()}
    counts = list(patterns.values())
    return {(patterns[name] if counts.count(patterns[name]) == 1 else name): values for name, values in routes.items()}


def _entries(old: Mapping[str, Values], new: Mapping[str, Values]) -> list[EntryChange]:
    """In the order of the file, then what it lacks."""
    changes: list[EntryChange] = []
    for name, values in new.items():
        if name not in old:
            changes.append(EntryChange(name=name, change="added", keys=[]))
        elif keys := _keys(old[name], values):
            changes.append(EntryChange(name=name, change="changed", keys=keys))
    return changes + [EntryChange(name=name, change="removed", keys=[]) for name in old if name not in new]


def _keys(old: Values, new: Values) -> list[KeyChange]:
    """The keys whose values differ; of tables such as `instances`, entry by entry."""
    changes: list[KeyChange] = []
    for key in (*old, *(key for key in new if key not in old)):
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if isinstance(before, dict | None) and isinstance(after, dict | None):
            inner = _keys(cast("Values", before or {}), cast("Values", after or {}))
            changes += [KeyChange(key=f"{key}.{each['key']}", old=each["old"], new=each["new"]) for each in inner]
        else:
            changes.append(KeyChange(key=key, old=before, new=after))
    return changes


def needing_restart(settings: Sequence[SettingChange]) -> list[str]:
    """The keys among them that a reload does not put in force."""
    return [each["key"] for each in settings if each["needs_restart"]]
