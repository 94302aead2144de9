"""A configuration as plain values, to be shown and compared: by key, as a file writes them, secrets hidden. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Final, TypedDict, cast

from discovery.model import RouteSpec, ServiceSpec, StaticTarget
from discovery.settings import ConsulSettings
from gateway.config.load import Loaded
from gateway.config.secrets import HIDDEN, shown

GATEWAY_FIXED: Final = ("admin",)  # what a running gateway cannot change
CONSUL_FIXED: Final = ("register", "register_name", "register_address")
_FIXED: Final = frozenset((*(f"gateway.{key}" for key in GATEWAY_FIXED), *(f"consul.{key}" for key in CONSUL_FIXED)))

Values = dict[str, object]  # by key, with dots


class Config(TypedDict):
    """The body of /api/config. JSON values throughout."""

    file: str  # "" without one
    settings: Values  # all but services and routes; consul's keys only where there is a [consul]
    services: dict[str, Values]  # by name
    routes: dict[str, Values]  # by methods, host and path
    given_by: dict[str, str]  # keys that environment or flags say, not the file, and which of them


def needs_restart(key: str) -> bool:
    """Whether a running gateway cannot take over another value of this key."""
    return key in _FIXED or key.startswith("dns.")


def describe(loaded: Loaded, started_with: Loaded | None = None) -> Config:
    """A configuration; what needs a restart is as in the one that the gateway was started with, if any."""
    settings = _settings(loaded)
    if started_with is not None:
        old = _settings(started_with)
        fixed = {key for key in (*settings, *old) if needs_restart(key)}
        settings |= {key: old[key] for key in fixed if key in old}
    config = Config(
        file=loaded.file,
        settings=settings,
        services={spec.name: _service(spec) for spec in loaded.services},
        routes={_name(spec): _route(spec) for spec in loaded.routes},
        given_by=dict(loaded.given_by),
    )
    return cast("Config", _as_json(config))


def consul_defaults() -> Values:
    """The keys of a [consul] that says nothing."""
    return cast("Values", _as_json(_consul(ConsulSettings())))


def _as_json(value: object) -> object:
    """As it is after its way through the admin interface: lists for tuples."""
    found: object = json.loads(json.dumps(value))
    return found


def _consul(settings: ConsulSettings) -> Values:
    values = {f"consul.{key}": value for key, value in asdict(settings).items()}
    return values | {"consul.token": HIDDEN if settings.token else ""}


def _settings(loaded: Loaded) -> Values:
    sections = {"gateway": loaded.gateway, "limits": loaded.limits, "log": loaded.log, "tracing": loaded.tracing}
    values: Values = {
        f"{name}.{key}": value for name, section in sections.items() for key, value in section.model_dump().items()
    }
    values["gateway.admin_token"] = HIDDEN if loaded.gateway.admin_token else ""
    del values["tracing.headers"]
    values |= {f"tracing.headers.{name}": HIDDEN for name in loaded.tracing.headers}
    values |= {f"dns.{key}": value for key, value in asdict(loaded.dns).items()}
    return values | (_consul(loaded.consul) if loaded.consul is not None else {})


def _service(spec: ServiceSpec) -> Values:
    values = asdict(spec)
    for key in ("name", "origin", "targets"):
        del values[key]
    values["instances"] = {_target(each): each.weight for each in spec.targets}
    health, outlier = values.pop("health"), values.pop("outlier")
    del health["headers"]
    values |= {f"health.{key}": value for key, value in health.items()}
    values |= {f"outlier.{key}": value for key, value in outlier.items()}
    return values | _headers("health.headers", spec.health.headers)


def _target(target: StaticTarget) -> str:
    return target.host if target.is_srv else f"{target.host}:{target.port}"


def _name(spec: RouteSpec) -> str:
    methods = ",".join(spec.methods)
    return f"{methods} {spec.host}{spec.path}" if methods else spec.host + spec.path


def _route(spec: RouteSpec) -> Values:
    """A file's routes have no handling and no share: those are tags' alone."""
    values: Values = asdict(spec)
    for key in ("origin", "headers", "options", "handling", "share", "is_refused"):
        del values[key]
    return values | _headers("headers", spec.headers)


def _headers(key: str, headers: Iterable[tuple[str, str]]) -> Values:
    return {f"{key}.{name}": shown(name, value) for name, value in headers}
