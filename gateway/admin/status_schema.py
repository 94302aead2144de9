"""Describes the status JSON from its TypedDicts: docs/status.schema.json and the tables of docs/status.md.

`python -m gateway.admin.status_schema` writes both. A key's meaning is the comment behind it in the source; all keys
are required and more are allowed, as the promise is that keys are added and never renamed.
"""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints, is_typeddict

from gateway.admin import status, traffic

DOCS: Final = Path(__file__).parents[2] / "docs"
_CLASS: Final = re.compile(r"^(?:class (\w+)\(TypedDict\)|(\w+) = TypedDict\()")
_FIELD: Final = re.compile(r'^ {4,8}"?(\w+)"?: [^#]*?(?:  # (.*))?$')
_SIMPLE: Final = {str: "string", int: "integer", float: "number", bool: "boolean"}
_NULL: Final = {"type": "null"}
_INTRO: Final = """\
# The status JSON

<!-- Written by `python -m gateway.admin.status_schema`; change gateway/admin/status.py, not this page. -->

What `gw status --json` prints and `GET /api/status` answers; with `--watch` it is one such object a line. Keys may be
added, never renamed or removed. Times are RFC 3339 in UTC, durations seconds, sizes bytes. Totals count from the
gateway's start and never go backward while it runs. With `--service NAME`, `services` has that one alone.

[status.schema.json](status.schema.json) is the same as a JSON Schema (2020-12). Reasons, and what leads to each, are in
[instances.md](instances.md); metrics of the same counters in [metrics.md](metrics.md).

```console
$ gw status --json > status.json; check-jsonschema --schemafile docs/status.schema.json status.json
$ gw status --json | jq -r '.services[].instances[] | select(.eligible | not) | "\\(.address) \\(.reason): \\(.detail)"'
10.0.0.3:9001 unhealthy: connection refused
```
"""


def schema() -> dict[str, object]:
    """The JSON Schema of `Status`."""
    kinds = list(_kinds(status.Status))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gw status --json",
        "$ref": "#/$defs/Status",
        "$defs": {kind.__name__: _object(kind) for kind in kinds},
    }


def page() -> str:
    """docs/status.md."""
    parts = [_INTRO]
    for kind in _kinds(status.Status):
        meanings = _meanings(kind)
        parts.append(f"## {_title(kind)}\n\n{_summary(kind)}\n\n| key | type | meaning |\n|---|---|---|\n")
        parts += [
            f"| `{key}` | {_words(hint)} | {meanings.get(key, '')} |\n"
            for key, hint in get_type_hints(kind, include_extras=True).items()
        ]
        parts.append("\n")
    return "\n".join(parts[:1]) + "\n" + "".join(parts[1:]).rstrip("\n") + "\n"


def _kinds(kind: Any, seen: dict[Any, None] | None = None) -> Iterator[Any]:
    """A TypedDict and those that it is made of, outermost first, each once."""
    seen = {} if seen is None else seen
    if is_typeddict(kind):
        if kind in seen:
            return
        seen[kind] = None
        yield kind
        for hint in get_type_hints(kind, include_extras=True).values():
            yield from _kinds(hint, seen)
    for argument in get_args(kind):
        yield from _kinds(argument, seen)


def _object(kind: Any) -> dict[str, object]:
    meanings = _meanings(kind)
    properties = {
        key: {**_value(hint), **({"description": meanings[key]} if key in meanings else {})}
        for key, hint in get_type_hints(kind, include_extras=True).items()
    }
    return {
        "type": "object",
        "description": _summary(kind),
        "properties": properties,
        "required": list(properties),
    }


def _value(hint: Any) -> dict[str, object]:
    """The schema of one value."""
    arguments = get_args(hint)
    if is_typeddict(hint):
        return {"$ref": f"#/$defs/{hint.__name__}"}
    if get_origin(hint) is Annotated:
        return {**_value(arguments[0]), "format": arguments[1]}
    if get_origin(hint) in (Union, types.UnionType):
        return {"anyOf": [_NULL if each is type(None) else _value(each) for each in arguments]}
    if get_origin(hint) is list:
        return {"type": "array", "items": _value(arguments[0])}
    if get_origin(hint) is dict:
        return {"type": "object", "additionalProperties": _value(arguments[1])}
    return {"type": _SIMPLE[hint]}


def _words(hint: Any) -> str:
    """A value's type as people say it."""
    arguments = get_args(hint)
    if is_typeddict(hint):
        return f"[{_title(hint)}](#{_title(hint).lower().replace(' ', '-')})"
    if get_origin(hint) is Annotated:
        return "time"
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join("null" if each is type(None) else _words(each) for each in arguments)
    if get_origin(hint) is list:
        return f"list of {_words(arguments[0])}"
    if get_origin(hint) is dict:
        return f"object: {_words(arguments[1])} by key"
    return _SIMPLE[hint]


def _title(kind: Any) -> str:
    return str(kind.__name__).removesuffix("Status") or "Status"


def _summary(kind: Any) -> str:
    """Its docstring; that of a TypedDict that is written as a call is the comment above it."""
    if kind is status.TransitionStatus:
        return "One entry of an instance's history. `from` and `to` are reasons, as of an instance, or `absent`."
    return " ".join((inspect.getdoc(kind) or "").split())


def _meanings(kind: Any) -> dict[str, str]:
    """The comments behind a TypedDict's keys."""
    found: dict[str, str] = {}
    is_inside = False
    module = traffic if kind is traffic.Traffic else status
    for line in inspect.getsource(module).splitlines():
        if begun := _CLASS.match(line):
            is_inside = kind.__name__ in begun.groups()
        elif line and not line.startswith((" ", "#")):
            is_inside = False
        elif is_inside and (field := _FIELD.match(line)) and field[2]:
            found[field[1]] = field[2].replace("None:", "null:")
    return found


if __name__ == "__main__":
    (DOCS / "status.schema.json").write_text(json.dumps(schema(), indent=2) + "\n", encoding="utf-8")
    (DOCS / "status.md").write_text(page(), encoding="utf-8")
