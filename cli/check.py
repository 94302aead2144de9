"""`gw check`: is this configuration usable, what is all that is wrong with it, and what would it change?"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gateway.config.load import DEFAULT_FILE, ConfigError, Loaded, load

if TYPE_CHECKING:
    from gateway.config.diff import Diff, EntryChange

EXIT_OK = 0
EXIT_CONFIG = 2
SIGNS = {"added": "+", "changed": "~", "removed": "-"}


def check(path: Path | None, environ: Mapping[str, str]) -> tuple[int, list[str]]:
    """(exit code, lines to print). Without a path it is ./gateway.toml that is checked, and it has to exist."""
    file = DEFAULT_FILE if path is None else path
    try:
        loaded = load(file, environ=environ)
    except ConfigError as error:
        return EXIT_CONFIG, list(error.problems)
    return EXIT_OK, [f"{file}: OK: {summary(loaded)}"]


def run(path: Path | None, admin: str | None, *, with_diff: bool, as_json: bool) -> int:
    """The command. Exit code 0, or 2 for a configuration that cannot be used; whether it differs does not matter."""
    code, lines = check(path, os.environ)
    is_valid = code == EXIT_OK
    found, where = _diff(path, admin) if is_valid and with_diff else (None, "")
    if as_json:
        answer: dict[str, object] = {
            "file": str(DEFAULT_FILE if path is None else path),
            "valid": is_valid,
            "problems": [] if is_valid else lines,
        }
        typer.echo(json.dumps(answer | ({"diff": found} if with_diff else {}), indent=2))
    if not (as_json and is_valid):
        for line in lines:
            typer.echo(line, err=not is_valid)
    if found is not None and not as_json:
        from cli.render import Screen, Text

        screen = Screen()
        for text in [where, *diff_lines(found)]:
            indent = len(text) - len(text.lstrip()) + 2
            first, *rest = screen.wrap(Text(text.lstrip()), indent)
            margin = " " * (indent - 2)
            screen.print([Text(margin).append_text(first), *(Text(f"{margin}  ").append_text(each) for each in rest)])
    return code


def _diff(path: Path | None, admin: str | None) -> tuple[Diff, str]:
    """What it would change, and a line that says against what. Raises NobodyAnswers."""
    from cli.admin_client import AdminClient, find_admin
    from gateway.config.describe import describe
    from gateway.config.diff import diff

    file = DEFAULT_FILE if path is None else path
    with AdminClient(find_admin(admin, os.environ, Path.cwd())) as client:
        running = client.config()
        wanted = describe(load(file, environ=os.environ, alone=True))
        source = running["file"] or "no file"
        return diff(running, wanted), f"Against the gateway at {client.where.address}, which runs {source}:"


def diff_lines(found: Diff) -> list[str]:
    """The differences for people, one a line."""
    from cli.layout import printable
    from gateway.config.diff import needing_restart

    found = printable(found)
    lines = [line for each in found["services"] for line in _entry("service", each)]
    lines += [line for each in found["routes"] for line in _entry("route", each)]
    for setting in found["settings"]:
        restart = " (needs a restart)" if setting["needs_restart"] else ""
        lines.append(f"  ~ {setting['key']}: {_value(setting['old'])} -> {_value(setting['new'])}{restart}")
    for key in found["fixed"]:
        lines.append(f"  = {key['key']} stays {_value(key['running'])}, given by {key['given_by']}")
    if found["identical"]:
        return [*lines, "Nothing would change."]
    keys = needing_restart(found["settings"])
    count = len(found["services"]) + len(found["routes"]) + len(found["settings"])
    rest = f"a reload puts all but {', '.join(keys)} in force" if keys else "a reload puts all of it in force"
    return [*lines, f"{count} {'difference' if count == 1 else 'differences'}; {rest}."]


def _entry(kind: str, entry: EntryChange) -> list[str]:
    lines = [f"  {SIGNS[entry['change']]} {kind} {entry['name']}"]
    for key in entry["keys"]:
        if key["old"] is None:
            lines.append(f"      + {key['key']} = {_value(key['new'])}")
        elif key["new"] is None:
            lines.append(f"      - {key['key']} = {_value(key['old'])}")
        else:
            lines.append(f"      ~ {key['key']}: {_value(key['old'])} -> {_value(key['new'])}")
    return lines


def _value(value: object) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)


def summary(loaded: Loaded) -> str:
    """`3 services, 5 routes, Consul at http://127.0.0.1:8500`."""
    parts = [_count(len(loaded.services), "service"), _count(len(loaded.routes), "route")]
    if loaded.consul is not None:
        parts.append(f"Consul at {loaded.consul.address}")
    return ", ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
