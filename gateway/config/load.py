"""The one way to a configuration: file, environment and flags in, validated values or ConfigError out.

Precedence: flags, environment, file, defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from discovery.model import RouteSpec, ServiceSpec
from discovery.settings import ConsulSettings, DnsSettings
from gateway.config.document import Overrides, read, sentences
from gateway.config.log_model import LogConfig
from gateway.config.model import GatewayConfig, LimitsConfig
from gateway.config.problems import ConfigError
from gateway.config.spec import consul_settings, routes_of, service_from_options, services_of
from gateway.config.tracing_model import TracingConfig
from gateway.config.validate import examine
from gateway.snapshot.model import WorkerSettings

__all__ = ["DEFAULT_FILE", "ConfigError", "Loaded", "Overrides", "default_file", "load", "service_from_options"]

DEFAULT_FILE: Final = Path("gateway.toml")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration in which nothing is wrong."""

    file: str  # as the person named it; "" without a file
    gateway: GatewayConfig
    limits: LimitsConfig
    log: LogConfig
    tracing: TracingConfig
    services: tuple[ServiceSpec, ...]  # the declared ones, then those of `target_url`
    routes: tuple[RouteSpec, ...]
    consul: ConsulSettings | None
    dns: DnsSettings
    given_by: tuple[
        tuple[str, str], ...
    ] = ()  # keys that are not the file's to say, and whose: ("log.level", "LOG_LEVEL")

    def worker_settings(self, *, ready: bool = False) -> WorkerSettings:
        """What workers need of it. `ready` is what /ready answers: the supervisor's to judge."""
        return WorkerSettings(
            name=self.gateway.name,
            server_header=self.gateway.server_header,
            trusted_proxies=self.gateway.trusted_proxies,
            proxy_protocol=self.gateway.proxy_protocol,
            header_bytes=self.limits.header_bytes,
            headers=self.limits.headers,
            body_bytes=self.limits.body_bytes,
            header_timeout=self.limits.header_timeout,
            idle_timeout=self.limits.idle_timeout,
            connections=self.limits.connections,
            in_flight=self.limits.in_flight,
            access_log=self.log.access,
            access_format=self.log.format if self.log.access_format == "auto" else self.log.access_format,
            access_fields=self.log.access_fields,
            drain_timeout=self.gateway.drain_timeout,
            ready=ready,
            traces=bool(self.tracing.endpoint),
            trace_sample=self.tracing.sample,
            trace_b3=self.tracing.b3,
        )


def default_file() -> Path | None:
    """gateway.toml of the working directory, if there is one."""
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def load(
    path: Path | None,
    *,
    environ: Mapping[str, str],
    overrides: Overrides = Overrides(),  # noqa: B008 (frozen)
    alone: bool = False,
) -> Loaded:
    """The configuration in a file (None: no file), with environment and flags over it.

    alone: what the file says by itself, with nothing over it. Raises ConfigError, and nothing else, with
    every problem there is.
    """
    document = read(path, environ, overrides, alone=alone)
    config, faults = examine(document.tables, document.faults)
    if config is None:
        raise ConfigError(sentences(document, faults))
    return Loaded(
        file=document.file,
        gateway=config.gateway,
        limits=config.limits,
        log=config.log,
        tracing=config.tracing,
        services=services_of(config, document.file),
        routes=routes_of(config, document.file),
        consul=consul_settings(config.consul),
        dns=DnsSettings(**config.dns.model_dump()),
        given_by=tuple((".".join(map(str, path)), giver) for path, giver in document.given_by.items()),
    )
