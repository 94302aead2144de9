"""One document of Consul's KV: a table of the file's [[routes]] or [[services]], as TOML or as JSON. Pure.

The key says which (`routes/NAME` or `services/NAME` below the prefix); a value that begins with "{" is JSON,
which no TOML document does. It is judged by the file's own validation. No `${NAME}` is replaced: what
Consul holds must not read the gateway's environment.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from typing import NoReturn

from discovery.model import Origin, OriginKind, RouteSpec, ServiceSpec
from gateway.config.document import syntax_error
from gateway.config.problems import ConfigError, Fault, key_text, quoted
from gateway.config.spec import route_spec, service_spec, target_service
from gateway.config.validate import examine

_STAND_IN = "http://127.0.0.1:1"  # of a route's service, which is elsewhere: whoever puts all together looks for it


@dataclass(frozen=True, slots=True)
class Entry:
    """What one document declares."""

    route: RouteSpec | None = None
    service: ServiceSpec | None = None  # of a route: that of its target_url


def key_origin(key: str) -> Origin:
    """The origin of what a key holds."""
    return Origin(OriginKind.KV, key)


def read_entry(prefix: str, key: str, value: bytes) -> Entry:
    """What a key declares. Raises ConfigError, its sentences without the key."""
    kind, _, name = key.removeprefix(prefix).partition("/")
    if kind not in ("routes", "services") or not name:
        raise ConfigError([f"is not understood: keys are {prefix}routes/NAME and {prefix}services/NAME"])
    table = _parse(value)
    origin = key_origin(key)
    return _read_route(table, origin) if kind == "routes" else _read_service(table, name, origin)


def _read_route(table: dict[str, object], origin: Origin) -> Entry:
    wanted = table.get("service")
    services = [{"name": wanted, "instances": [_STAND_IN]}] if isinstance(wanted, str) and wanted else []
    config, faults = examine({"routes": [table], "services": services})
    _raise_if(_of("routes", faults))
    if config is None:
        raise ConfigError([f"service: {quoted(str(wanted))} cannot be a service's name"])
    route = config.routes[0]
    target = target_service(route.target_url, origin) if route.target_url else None
    return Entry(route_spec(route, origin), target)


def _read_service(table: dict[str, object], name: str, origin: Origin) -> Entry:
    config, faults = examine({"services": [{"name": name, **table}], "consul": {}})
    sentences = _of("services", faults)
    if table.get("name", name) != name:
        sentences.append(f"name: must be {quoted(name)}, as the key says, or left out")
    _raise_if(sentences)
    assert config is not None
    return Entry(service=service_spec(config.services[0], origin))


def _of(array: str, faults: list[Fault]) -> list[str]:
    """The faults of the document itself, by its own keys."""
    own = [fault for fault in faults if fault.path[:1] == (array,)]
    return [": ".join(filter(None, (key_text(fault.path[2:]), fault.message))) for fault in own]


def _raise_if(sentences: list[str]) -> None:
    if sentences:
        raise ConfigError(sentences)


def _parse(value: bytes) -> dict[str, object]:
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise ConfigError([f"byte {error.start} is not UTF-8"]) from None
    is_json = text.lstrip().startswith("{")
    try:
        table: dict[str, object] = _parse_json(text) if is_json else tomllib.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError([f"line {error.lineno}, column {error.colno}: not valid JSON: {error.msg}"]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([syntax_error(str(error), text)]) from None
    except RecursionError:
        raise ConfigError(["arrays or tables are nested too deeply"]) from None
    except ValueError as error:  # a number with thousands of digits, a key twice
        raise ConfigError([f"not usable as {'JSON' if is_json else 'TOML'}: {error}"]) from None
    return table


def _parse_json(text: str) -> dict[str, object]:
    parsed: dict[str, object] = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    return parsed


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table: dict[str, object] = {}
    for key, value in pairs:
        if key in table:
            raise ValueError(f"the key {quoted(key)} stands there twice")
        table[key] = value
    return table


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number in JSON")
