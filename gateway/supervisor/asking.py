"""From what a person asks to be explained to the request that a client would send. Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from gateway.admin.explanation import Asked, NotExplained

LOCAL: Final = "127.0.0.1"
_EVERYWHERE: Final = {"0.0.0.0": LOCAL, "[::]": "[::1]"}  # noqa: S104  # listened on; not an address to call
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_URL: Final = re.compile(r"(?:https?)://([^/?#]*)([^#]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it would arrive."""

    head: bytes
    method: str
    client: str  # IP address
    host_assumed: bool


def read(asked: Asked, listen: str) -> Request:
    """The request that a client would send to the gateway at `listen` (host:port). Raises NotExplained.

    Without a host it is the one that a client on this machine would name, `listen` itself. A Host among the
    headers wins over that of the URL, as with curl. What only the gateway's parser can judge is left to it.
    """
    if _TOKEN.fullmatch(asked.method) is None:
        raise _bad(f"{asked.method!r} is not a method such as GET or POST.")
    host, target = _split(asked.url)
    given = [value for name, value in asked.headers if name.lower() == "host"]
    host_assumed = not host and not given
    lines = [f"{asked.method} {target} HTTP/1.1"]
    if not given:
        lines.append(f"Host: {host or _callable(listen)}")
    lines += [f"{_name(name)}: {_value(name, value)}" for name, value in asked.headers]
    return Request("\r\n".join([*lines, "", ""]).encode("latin-1"), asked.method, _client(asked.client), host_assumed)


def _split(url: str) -> tuple[str, str]:
    """Host ("" if it names none) and target."""
    wrong = next((c for c in url if not "!" <= c <= "~"), "")
    if wrong:
        raise _bad(f"The URL {url!r} has {wrong!r} in it, which is sent percent-encoded: write it so.")
    if "#" in url:
        raise _bad(f"The URL {url!r} has a fragment (#...), which is never sent: leave it out.")
    if url.startswith("/") or url == "*":
        return "", url
    match = _URL.fullmatch(url)
    if match is None or not match[1]:
        raise _bad(f"{url!r} is neither a path such as /users/7 nor a URL such as http://api.example.com/users/7.")
    if "@" in match[1]:
        raise _bad(f"The URL {url!r} has a user in it, which is not sent so: leave it out, or add its header.")
    rest = match[2]
    return match[1], rest if rest.startswith("/") else f"/{rest}"


def _name(name: str) -> str:
    if _TOKEN.fullmatch(name) is None:
        raise _bad(f"{name!r} is not the name of a header field.")
    return name


def _value(name: str, value: str) -> str:
    text = value.strip(" \t")
    if any((c < " " and c != "\t") or c == "\x7f" or c > "\xff" for c in text):
        raise _bad(f"The value of {name} has a character that a header field cannot have.")
    return text


def _client(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text or LOCAL))
    except ValueError:
        raise _bad(f"{text!r} is not the IP address of a client.") from None


def _callable(listen: str) -> str:
    host, _, port = listen.rpartition(":")
    host = _EVERYWHERE.get(host, host)
    return host if port == "80" else f"{host}:{port}"


def _bad(sentence: str) -> NotExplained:
    return NotExplained("bad_request", sentence)
