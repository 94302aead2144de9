"""`gw check`: is this configuration usable, and if not, what is all that is wrong with it?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway.config.load import DEFAULT_FILE, ConfigError, Loaded, load

EXIT_OK = 0
EXIT_CONFIG = 2


def check(path: Path | None, environ: Mapping[str, str]) -> tuple[int, list[str]]:
    """(exit code, lines to print). Without a path it is ./gateway.toml that is checked, and it has to exist."""
    file = DEFAULT_FILE if path is None else path
    try:
        loaded = load(file, environ=environ)
    except ConfigError as error:
        return EXIT_CONFIG, list(error.problems)
    return EXIT_OK, [f"{file}: OK: {summary(loaded)}"]


def summary(loaded: Loaded) -> str:
    """`3 services, 5 routes, Consul at http://127.0.0.1:8500`."""
    parts = [_count(len(loaded.services), "service"), _count(len(loaded.routes), "route")]
    if loaded.consul is not None:
        parts.append(f"Consul at {loaded.consul.address}")
    return ", ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
