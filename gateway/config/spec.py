"""From validated tables to the values that the rest of the gateway uses."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from discovery.model import Origin, OriginKind, RouteSpec, ServiceSpec, StaticTarget, join_address
from discovery.settings import ConsulSettings, HealthSettings, OutlierSettings, ProbeType
from gateway.config.model import ConsulConfig, FileConfig, RouteConfig, ServiceConfig
from gateway.config.problems import ConfigError, key_text, schema_faults
from gateway.config.values import Untyped, split_dns, split_instance_url


def services_of(config: FileConfig, file: str) -> tuple[ServiceSpec, ...]:
    """The declared services, then one for each distinct `target_url`, named after its host:port."""
    specs = {
        service.name: service_spec(service, _origin(file, "services", position))
        for position, service in enumerate(config.services)
    }
    for position, route in enumerate(config.routes):
        if route.target_url:
            spec = target_service(route.target_url, _origin(file, "routes", position))
            specs.setdefault(spec.name, spec)
    return tuple(specs.values())


def routes_of(config: FileConfig, file: str) -> tuple[RouteSpec, ...]:
    """The declared routes, in the order of the file."""
    return tuple(route_spec(route, _origin(file, "routes", position)) for position, route in enumerate(config.routes))


def service_spec(service: ServiceConfig, origin: Origin) -> ServiceSpec:
    """One [[services]] table."""
    health = service.health.model_dump()
    health |= {"type": ProbeType(service.health.type), "headers": tuple(service.health.headers.items())}
    return ServiceSpec(
        name=service.name,
        origin=origin,
        consul=service.consul,
        datacenter=service.datacenter,
        failover=service.failover,
        targets=tuple(
            StaticTarget(*split_instance_url(instance.url), weight=instance.weight) for instance in service.instances
        )
        + ((StaticTarget(*split_dns(service.dns)),) if service.dns else ()),
        balance=service.balance,
        hash_on=service.hash_on,
        connect_timeout=service.connect_timeout,
        max_in_flight=service.max_in_flight,
        keepalive_idle=service.keepalive_idle,
        slow_start=service.slow_start,
        fail_open_below=service.fail_open_below,
        health=HealthSettings(**health),
        outlier=OutlierSettings(**service.outlier.model_dump()),
    )


def service_from_options(name: str, origin: Origin, options: Mapping[str, object]) -> ServiceSpec:
    """A service from the keys of a [[services]] table, written with dots ("health.path").

    Strings may stand for numbers and booleans ("5", "true"). No `${NAME}` is replaced: what Consul
    holds must not read the gateway's environment. Raises ConfigError, its sentences naming `origin`.
    """
    tables, problems = _nested(options)
    tables = {key: value for key, value in tables.items() if key != "name"}
    if "name" in options:
        problems.append("name: cannot be an option, the service is named already")
    try:
        service = ServiceConfig.model_validate({"name": name, **tables})
    except ValidationError as error:
        for fault in schema_faults(error, {"name": name, **tables}, below=("services", 0)):
            problems.append(f"{key_text(fault.path)}: {fault.message}")
        raise ConfigError([f"{origin}: {problem}" for problem in problems]) from None
    if problems:
        raise ConfigError([f"{origin}: {problem}" for problem in problems])
    return service_spec(service, origin)


def _nested(options: Mapping[str, object]) -> tuple[dict[str, object], list[str]]:
    """Dotted keys as tables within tables, and which keys contradict each other."""
    tables: dict[str, object] = {}
    problems: list[str] = []
    for key, value in sorted(options.items()):  # "health" before "health.path"
        *outer, last = key.split(".")
        table: dict[str, object] = tables
        for step in outer:
            inner = table.setdefault(step, {})
            if not isinstance(inner, dict):
                problems.append(f"{key}: {step} has a value of its own, so nothing can be below it")
                break
            table = inner
        else:
            table[last] = _untyped(value)
    return tables, problems


def _untyped(value: object) -> object:
    match value:
        case str():
            return Untyped(value)
        case dict():
            return {key: _untyped(part) for key, part in value.items()}
        case list() | tuple():
            return [_untyped(part) for part in value]
        case _:
            return value


def consul_settings(consul: ConsulConfig | None) -> ConsulSettings | None:
    """The [consul] table, None without Consul."""
    if consul is None:
        return None
    return ConsulSettings(**consul.model_dump(by_alias=True))


def target_service(url: str, origin: Origin) -> ServiceSpec:
    """The service of a `target_url`: one address, taken as it is, never probed."""
    host, port = split_instance_url(url)
    return ServiceSpec(
        name=join_address(host, port),
        origin=origin,
        targets=(StaticTarget(host, port),),
        health=HealthSettings(type=ProbeType.NONE),
    )


def route_spec(route: RouteConfig, origin: Origin) -> RouteSpec:
    """One [[routes]] table."""
    service = join_address(*split_instance_url(route.target_url)) if route.target_url else route.service
    return RouteSpec(
        path=route.path,
        service=service,
        origin=origin,
        host=route.host,
        methods=route.methods,
        strip_path=route.strip_path,
        timeout=route.timeout,
        per_try_timeout=route.per_try_timeout,
        stream_idle_timeout=route.stream_idle_timeout,
        retry_count=route.retry_count,
        headers=tuple(route.headers.items()),
        log_sample=route.log_sample,
    )


def _origin(file: str, table: str, position: int) -> Origin:
    return Origin(OriginKind.FILE, f"{file} {table}[{position}]")
