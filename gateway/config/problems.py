"""What is wrong with a configuration, said in sentences: file, key, what is wrong, what would be right."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from gateway.config.model import FileConfig, keys_of, section_at
from gateway.config.values import Untyped

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

KeyPath = tuple[int | str, ...]

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_SHOWN: Final = 80  # characters of a value in a sentence
_LARGEST_SHOWN: Final = 10**30

_WRONG_TYPE: Final = {
    "string_type": "must be a string",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "tuple_type": "must be an array",
    "dict_type": "must be a table",
    "model_type": "must be a table",
}


class ConfigError(Exception):
    """A configuration that cannot be used; `problems` are all of its faults, one sentence each."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, at a key such as ("routes", 1, "service")."""

    path: KeyPath
    message: str


def in_order(faults: Sequence[Fault]) -> list[Fault]:
    """The faults by table as the reference lists them, then by position in arrays of tables."""
    tables = keys_of(FileConfig)

    def place(fault: Fault) -> tuple[int, int]:
        table = str(fault.path[0]) if fault.path else ""
        position = fault.path[1] if len(fault.path) > 1 else 0
        return tables.index(table) if table in tables else -1, position if isinstance(position, int) else 0

    return sorted(faults, key=place)


def key_text(path: KeyPath) -> str:
    """`routes[1].service` of ("routes", 1, "service"); names that TOML would quote are quoted."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + (step if _BARE_KEY.fullmatch(step) else quoted(step))
    return text


def quoted(text: str) -> str:
    """Text in double quotes, short, on one line, without the password of a URL."""
    text = re.sub(r"//[^/]*@", "//***@", text)
    if len(text) > _LONGEST_SHOWN:
        text = f"{text[:_LONGEST_SHOWN]}..."
    return json.dumps(text, ensure_ascii=not text.isprintable())


def shown(value: object) -> str:
    """A value as a person wrote it, or what it is."""
    match value:
        case str():
            return quoted(value)
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value) if isinstance(value, float) or abs(value) < _LARGEST_SHOWN else "a number too large"
        case dict():
            return "a table"
        case list() | tuple():
            return "an array"
        case None:
            return "null"
        case _:
            return "a date or time"


def suggestion(word: str, known: Sequence[str]) -> str:
    """` (did you mean "users"?)` if something known is near."""
    near = get_close_matches(word, known, 1)
    return f" (did you mean {quoted(near[0])}?)" if near else ""


def schema_faults(error: ValidationError, data: object, below: KeyPath = ()) -> list[Fault]:
    """The faults in a pydantic error about `data`. `below`: the path of `data` itself, for tables that stand alone."""
    return [_schema_fault(details, data, below) for details in error.errors(include_url=False)]


def _schema_fault(details: ErrorDetails, data: object, below: KeyPath) -> Fault:
    path = _written(details["loc"], data)
    kind, given = details["type"], details["input"]
    limits = details.get("ctx", {})
    if kind == "extra_forbidden":
        return Fault(path, _unknown_key(below + path))
    if kind == "missing":
        return Fault(path, "is required")
    if kind in ("too_short", "too_long"):
        bound = f"at least {limits['min_length']}" if kind == "too_short" else f"at most {limits['max_length']}"
        return Fault(path, f"must have {bound} entries; it has {len(given)}")
    message = _WRONG_TYPE.get(kind) or _bound(kind, limits) or details["msg"].lower()
    if kind == "value_error":
        message = str(limits["error"])
    if details["loc"][-1] == "[key]" or _is_secret(path):
        return Fault(path, message)
    if isinstance(given, str) and not isinstance(given, Untyped) and kind in ("int_type", "float_type", "bool_type"):
        return Fault(path, f"{message}, without quotes; it is the string {shown(given)}")
    return Fault(path, f"{message}; it is {shown(given)}")


def _is_secret(path: KeyPath) -> bool:
    """May the value not appear in a sentence? Tokens, and header fields, which often carry one."""
    return path[:2] == ("consul", "token") or "headers" in path


def _bound(kind: str, limits: dict[str, object]) -> str:
    match kind:
        case "greater_than_equal":
            return f"must be at least {_plain(limits['ge'])}"
        case "greater_than":
            return f"must be more than {_plain(limits['gt'])}"
        case "less_than_equal":
            return f"must be at most {_plain(limits['le'])}"
        case _:
            return ""


def _plain(bound: object) -> str:
    return str(int(bound)) if isinstance(bound, float) and bound.is_integer() else str(bound)


def _written(path: KeyPath, data: object) -> KeyPath:
    """The part of a path that exists in what was written (an instance written as a string has no key `url`)."""
    kept: list[int | str] = []
    for step in path:
        if step == "[key]" or not isinstance(data, dict | list):
            break
        kept.append(step)
        if isinstance(data, dict):
            data = data.get(step, {})
        elif isinstance(step, int):
            data = data[step] if step < len(data) else None
    return tuple(kept)


def _unknown_key(path: KeyPath) -> str:
    section = section_at(path[:-1])
    keys = keys_of(section) if section is not None else ()
    key = str(path[-1])
    near = suggestion(key, keys)
    return f"unknown key{near}" if near else f"unknown key; the keys here are: {', '.join(keys)}"
