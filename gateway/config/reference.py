"""Writes docs/configuration.md from the models: `python -m gateway.config.reference > docs/configuration.md`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import get_args

from annotated_types import Ge, Gt, Le
from pydantic import AfterValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gateway.config.kinds import Kind, Section
from gateway.config.model import FileConfig, HealthConfig, subsections
from gateway.config.values import OneOf

_INTRO = """\
# Configuration

<!-- Written by `python -m gateway.config.reference > docs/configuration.md`; change the models, not this page. -->

`gw up` and `gw check` read a TOML file: the one named with `-c`, else `gateway.toml` in the working
directory. `gw up` runs without a file too: then everything below has its default, and routes come
from Consul's KV and tags ([consul.md](consul.md)). `gw check` prints everything that is wrong with a file at once.

- Flags win over environment, environment over file, file over defaults. The variables are `APP_NAME`
  (`gateway.name`), `LOG_LEVEL` (`log.level`), `CONSUL_HTTP_ADDR` (`consul.address`; turns Consul on)
  and `CONSUL_HTTP_TOKEN` or `CONSUL_HTTP_TOKEN_FILE` (`consul.token`, `consul.token_file`). The flags are
  `--listen`, `--admin`, `--workers` and `--consul` (turns Consul on). An empty variable counts as not set.
- A string may hold `${NAME}`, the value of an environment variable (an error if it is not set), or
  `${NAME:-default}` (the default if it is not set or empty). A value that is nothing but one of these
  may stand for a number or a boolean: `workers = "${WORKERS:-4}"`. `$${` is a plain `${`.
- Unknown keys are errors, and `"8"` is not 8. All times are in seconds.
- `/health` and `/ready` on the listen addresses are the gateway's own and answer before any route.

A complete example is [examples/gateway.toml](../examples/gateway.toml).
"""

_HEALTH_NOTES = """\
### Health checks

Every probe has a connection of its own: it finds out whether the instance *accepts*, and one that is shutting down does
not any more while it still answers on old connections. What a probe found is said in plain words in `gw status`:
`503 in 12 ms`, `connection refused`, `timed out after 2.0 s`, `200 in 3 ms, but its body lacks 'UP'`,
`NOT_SERVING in 1 ms`, `certificate not accepted: certificate has expired`.

An instance's own tags in Consul win over its service's settings, key by key, for that instance alone:
`gw.health.path=/ready`, `gw.health.port=9090`, `gw.health.type=grpc`, `gw.health.headers.X-Probe=1`,
`gw.health.expected_status=200-299,404` (two bare codes, `200,399`, are a range as in the file). All keys but
`tls_ca_file` and `body_regex` may be said so. A tag that cannot be understood is left out and shown in `gw status`.

What is known of an instance is lost only when it leaves its service. A reload, other settings, weights, tags, or other
instances that come and go change nothing of it. When nearly all instances (80 %, at least 3) begin to fail within one
interval, a line in the log and a problem in `gw status` say so: then the gateway's own network is the likelier cause.
"""

_ROUTING_NOTES = """\
The most specific route wins, whatever the order in the file: host before no host, exact before prefix,
longer prefix before shorter; then one that lists the request's method before one that takes all.
Two routes for the very same requests are an error. A prefix ending in `/*` matches the path before
the slash as well. A route may not set fields that belong to the connection or to the gateway
itself (`Host`, `Content-Length`, `Connection`, `X-Request-ID`, `X-Forwarded-For` and the like).
"""


def render() -> str:
    """The whole page."""
    parts = [_INTRO]
    for heading, section in _sections(FileConfig, ""):
        parts += [f"## {heading}\n", f"{(section.__doc__ or '').strip()}\n", _table(section)]
        if section is HealthConfig:
            parts.append(_HEALTH_NOTES)
    return "\n".join([*parts, _ROUTING_NOTES])


def _sections(model: type[Section], prefix: str) -> Iterator[tuple[str, type[Section]]]:
    for key, section in subsections(model):
        path = f"{prefix}{key}"
        is_array = str(model.model_fields[key].annotation).startswith("tuple")
        inline = is_array and bool(prefix)
        yield f"`{path}` entries" if inline else f"`[[{path}]]`" if is_array else f"`[{path}]`", section
        yield from _sections(section, f"{path}.")


def _table(section: type[Section]) -> str:
    rows = ["| key | type | default | bounds | meaning |", "|---|---|---|---|---|"]
    below = dict(subsections(section))
    for name, field in section.model_fields.items():
        key = field.alias or name
        is_table = key in below and not str(field.annotation).startswith("tuple")
        kind = "table" if is_table else _kind(field)
        default = "" if is_table else _default(field)
        cells = (f"`{key}`", kind, default, _bounds(field), field.description or "")
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*rows, ""])


def _kind(field: FieldInfo) -> str:
    words = [word for check in field.metadata if isinstance(check, AfterValidator) for word in _words(check)]
    if words:
        return ", ".join(f"`{word}`" for word in words)
    own = next((kind.name for kind in field.metadata if isinstance(kind, Kind)), None)
    if own is not None:
        return own
    entry = get_args(field.annotation)[0]  # of tuple[entry, ...]
    return f"list of {next(kind.name for kind in get_args(entry) if isinstance(kind, Kind))}"


def _words(check: AfterValidator) -> tuple[str, ...]:
    return check.func.words if isinstance(check.func, OneOf) else ()


def _default(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    if isinstance(extra, dict):
        return str(extra["default_text"])
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    assert value is not PydanticUndefined
    return f"`{json.dumps(value)}`"


def _bounds(field: FieldInfo) -> str:
    bounds = []
    for bound in field.metadata:
        match bound:
            case Ge(ge=least):
                bounds.append(f"≥ {least}")
            case Gt(gt=least):
                bounds.append(f"> {least}")
            case Le(le=most):
                bounds.append(f"≤ {most}")
            case _:
                pass
    return ", ".join(bounds)


if __name__ == "__main__":
    sys.stdout.write(render())
