"""The configuration as written: TOML, `${NAME}` in its strings, then environment and flags laid over it.

`${NAME}` is the variable's value, an error if there is none; `${NAME:-default}` is the default if
the variable is unset or empty; `$${` is a plain `${`. What was inserted is not looked at again.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.config.problems import ConfigError, Fault, KeyPath, key_text
from gateway.config.values import Untyped

_REFERENCE: Final = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\})?")
_POSITION: Final = re.compile(r"(.*) \(at (?:line ([0-9]+), column ([0-9]+)|end of document)\)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the command line says; empty or None: nothing."""

    listen: tuple[str, ...] = ()
    admin: str | None = None
    workers: int | None = None
    consul: str | None = None


@dataclass(slots=True)
class Document:
    """The tables as written, what is wrong with them so far, and which keys came from elsewhere."""

    file: str  # as the person named it; "" without a file
    tables: dict[str, object] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    given_by: dict[KeyPath, str] = field(default_factory=dict)  # ("log", "level") -> "LOG_LEVEL"

    def place(self, path: KeyPath) -> str:
        """Where the value at a path was written: the file, a variable or a flag."""
        given = next((name for key, name in self.given_by.items() if path[: len(key)] == key), None)
        return given or self.file or "configuration"


def read(path: Path | None, environ: Mapping[str, str], overrides: Overrides, *, alone: bool = False) -> Document:
    """The whole configuration as written; alone: with nothing laid over the file.

    Raises ConfigError for a file that cannot be read or is not TOML.
    """
    document = Document(file="" if path is None else str(path))
    if path is not None:
        try:
            for key, value in _parse(path).items():
                document.tables[key] = substitute(value, environ, (key,), document.faults)
        except RecursionError:
            raise ConfigError([f"{path}: arrays or tables are nested too deeply"]) from None
    if not alone:
        _lay_over(document, environ, overrides)
    return document


def _parse(path: Path) -> dict[str, object]:
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise ConfigError([f"{path}: no such file; name an existing one with -c FILE"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8"]) from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError([f"{path}: cannot be read: {reason}"]) from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: {syntax_error(str(error), text)}"]) from None
    except ValueError as error:  # a number with thousands of digits
        raise ConfigError([f"{path}: not usable as TOML: {error}"]) from None


def syntax_error(message: str, text: str) -> str:
    """What tomllib says, with line and column first."""
    match = _POSITION.fullmatch(message)
    if match is None:
        return f"not valid TOML: {message}"
    lines = text.split("\n")
    line, column = match[2] or len(lines), match[3] or len(lines[-1]) + 1
    return f"line {line}, column {column}: not valid TOML: {match[1]}"


def substitute(value: object, environ: Mapping[str, str], path: KeyPath, faults: list[Fault]) -> object:
    """`value` with every `${NAME}` in its strings replaced; what cannot be goes to `faults`, the text staying."""
    match value:
        case str():
            return _substitute_text(value, environ, path, faults)
        case dict():
            return {key: substitute(part, environ, (*path, key), faults) for key, part in value.items()}
        case list():
            return [substitute(part, environ, (*path, index), faults) for index, part in enumerate(value)]
        case _:
            return value


def _substitute_text(text: str, environ: Mapping[str, str], path: KeyPath, faults: list[Fault]) -> str:
    def replaced(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        if match[0] == "$${":
            return "${"
        if name is None:
            wrong = "has a ${ that is not ${NAME} or ${NAME:-default}; write $${ for a plain ${"
        elif default is not None:
            return environ.get(name) or default
        elif name in environ:
            return environ[name]
        else:
            wrong = f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}"
        faults.append(Fault(path, wrong))
        return match[0]

    result = _REFERENCE.sub(replaced, text)
    whole = _REFERENCE.fullmatch(text)
    return Untyped(result) if whole is not None and whole[1] is not None else result


def _lay_over(document: Document, environ: Mapping[str, str], overrides: Overrides) -> None:
    """Environment over file, flags over environment. A Consul address turns Consul on, a token alone does not."""
    _give(document, ("gateway", "name"), environ.get("APP_NAME"), "APP_NAME")
    _give(document, ("log", "level"), environ.get("LOG_LEVEL"), "LOG_LEVEL")
    _give(document, ("consul", "address"), environ.get("CONSUL_HTTP_ADDR"), "CONSUL_HTTP_ADDR")
    _give(document, ("gateway", "listen"), list(overrides.listen), "--listen")
    _give(document, ("gateway", "admin"), overrides.admin, "--admin")
    _give(document, ("gateway", "workers"), overrides.workers, "--workers")
    _give(document, ("consul", "address"), overrides.consul, "--consul")
    if "consul" in document.tables:
        _give_token(document, "token_file", environ.get("CONSUL_HTTP_TOKEN_FILE"), "CONSUL_HTTP_TOKEN_FILE")
        _give_token(document, "token", environ.get("CONSUL_HTTP_TOKEN"), "CONSUL_HTTP_TOKEN")


def _give_token(document: Document, key: str, value: str | None, giver: str) -> None:
    """Either of the two ways to say the token replaces the other, whoever said that."""
    table = document.tables["consul"]
    if value and isinstance(table, dict):
        for either in ("token", "token_file"):
            table.pop(either, None)
            document.given_by.pop(("consul", either), None)
        replaced = (("consul", "token"), ("consul", "token_file"))
        document.faults = [fault for fault in document.faults if fault.path[:2] not in replaced]
    _give(document, ("consul", key), value, giver)


def _give(document: Document, path: tuple[str, str], value: object, giver: str) -> None:
    """Set a key from outside the file; an empty value says nothing. Also settles a fault of the value it replaces."""
    table = document.tables.setdefault(path[0], {}) if value not in (None, "", []) else None
    if not isinstance(table, dict):  # nothing to say, or the file has no table there: the schema reports that
        return
    table[path[1]] = value
    document.given_by[path] = giver
    document.faults = [fault for fault in document.faults if fault.path[:2] != path]


def sentences(document: Document, faults: Sequence[Fault]) -> list[str]:
    """Each fault as `gateway.toml: key: what is wrong`."""
    return [f"{document.place(fault.path)}: {key_text(fault.path)}: {fault.message}" for fault in faults]
