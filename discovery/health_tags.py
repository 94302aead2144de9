"""What an instance's own tags say of its health checks: `gw.health.path=/ping` and the like. Pure.

Each tag is read by itself. What it says holds for the instance that carries it and wins over its service's settings,
wherever those come from: it is about one instance, they are about all. A tag that cannot be understood is left out and
reported, and nothing else suffers: no health tag opens or closes a route.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from discovery import grammar
from discovery.grammar import seconds, whole, word
from discovery.settings import HealthSettings, ProbeType

Overrides = tuple[tuple[str, object], ...]  # fields of HealthSettings and their values; sorted

_HEALTH: Final = "health."
_HEADERS: Final = "headers."

_READERS: Final[Mapping[str, Callable[[str], object]]] = {
    "type": lambda text: ProbeType(word(*ProbeType)(text)),
    "interval": seconds(0.1, 3600),
    "timeout": seconds(0.01, 3600),
    "healthy_threshold": whole(1, 1000),
    "unhealthy_threshold": whole(1, 1000),
    "port": whole(0, 65535),
    "host": grammar.read_probe_host,
    "tls": grammar.read_flag,
    "tls_verify": grammar.read_flag,
    "method": grammar.read_method,
    "path": grammar.read_probe_path,
    "expected_status": grammar.read_status_ranges,
    "body_contains": grammar.read_text,
    "send": grammar.read_text,
    "expect": grammar.read_text,
    "service": grammar.read_text,
}
# A pattern may take for ever on the right body, and a path names a file of the gateway's machine.
_FILE_ONLY: Final = frozenset({"body_regex", "tls_ca_file"})


def is_health_key(key: str) -> bool:
    """Whether the key of a tag is one of health checks."""
    return key.startswith(_HEALTH)


def read_health_tag(key: str, value: str) -> tuple[str, object]:
    """(field, value) of one tag. Raises ValueError with what would be right."""
    name = key.removeprefix(_HEALTH)
    if name.startswith(_HEADERS):
        return "headers", grammar.read_header(name.removeprefix(_HEADERS), value)
    if name in _FILE_ONLY:
        raise ValueError("can be said in the gateway's file only")
    if name not in _READERS:
        raise ValueError(f"is not understood; the keys are {', '.join(sorted([*_READERS, 'headers.NAME']))}")
    return name, _READERS[name](value)


def read_overrides(tags: Iterable[str], prefixes: Sequence[str]) -> Overrides:
    """What the tags of one instance say, as far as they are understood; the first wins where two differ."""
    found: dict[str, object] = {}
    headers: dict[str, tuple[str, str]] = {}
    for tag in tags:
        prefix = max((each for each in prefixes if tag.startswith(each)), key=len, default="-")
        key, _, value = (part.strip() for part in tag[len(prefix) :].partition("="))
        if prefix.endswith("-") or not is_health_key(key):
            continue
        try:
            name, read = read_health_tag(key, value)
        except ValueError:
            continue  # `discovery.tags` reads it too, and reports it
        if isinstance(read, tuple) and name == "headers":
            headers.setdefault(read[0].lower(), read)
        else:
            found.setdefault(name, read)
    if headers:
        found["headers"] = tuple(headers[name] for name in sorted(headers))
    return tuple(sorted(found.items()))


def overridden(settings: HealthSettings, overrides: Overrides) -> HealthSettings:
    """A service's settings as they are for an instance whose tags say this."""
    values: dict[str, Any] = dict(overrides)
    if "headers" in values:
        own = {name.lower() for name, _ in values["headers"]}
        values["headers"] += tuple(field for field in settings.headers if field[0].lower() not in own)
    return replace(settings, **values) if values else settings
