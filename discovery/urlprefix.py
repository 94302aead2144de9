"""Fabio's tags, `urlprefix-[host[:port]]/path [option...]`, as routes. Pure.

What they mean there they mean here: the path is a prefix as text (/foo takes /foobar too), the longest one
wins, and every instance that carries a tag is a target of its own. An option is honoured or the route is
refused: without it the route might open what the option was to close. docs/consul-tags.md has the table.
See https://fabiolb.net/quickstart/, https://fabiolb.net/cfg/ and Fabio's packages registry/consul and route.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import Final

from discovery.grammar import read_host, read_path
from discovery.model import PLAIN, Handling

REDIRECTS: Final = (300, 301, 302, 303, 307, 308)
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
_FRACTION: Final = re.compile(r"-?(?:[0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})")
# scheme, then a host that may hold $host, then path (with $path, say) and query; no userinfo, no fragment
_LOCATION: Final = re.compile(r"https?://(?:\$host|[A-Za-z0-9.\-_:\[\]])+(?:\$path)?(?:[/?][!\"$-~]*)?")


@dataclass(frozen=True, slots=True)
class UrlPrefix:
    """A tag understood."""

    host: str  # "", a name, *.domain, or name:port; lower case
    path: str  # of the route: /text**, or /* for all
    handling: Handling = PLAIN
    fraction: float = 0.0
    options: str = ""  # sorted, one space between two


class Refused(ValueError):
    """The tag asks for what is not supported. `key` is the route's (host, path), where that much is clear."""

    def __init__(self, message: str, key: tuple[str, str] | None) -> None:
        super().__init__(message)
        self.key = key


def read_urlprefix(text: str) -> UrlPrefix:
    """What follows the tag's prefix. Raises Refused."""
    target, *options = text.split()
    host, slash, rest = target.partition("/")
    if not slash:
        raise Refused("has no path; only HTTP routes, [host]/path, are supported", None)
    try:
        read = UrlPrefix(_read_host(host), _read_prefix("/" + rest), options=" ".join(sorted(options)))
    except ValueError as error:
        raise Refused(str(error), None) from None
    seen: set[str] = set()
    for option in options:
        key, _, value = option.partition("=")
        try:
            if key in seen:
                raise ValueError("is said twice")
            seen.add(key)
            if key not in _OPTIONS:
                raise ValueError("is not supported")
            read = _OPTIONS[key](read, value)
        except ValueError as error:
            raise Refused(f"{option}: {error}", (read.host, read.path)) from None
    if read.handling.allow and read.handling.deny:
        raise Refused("allow and deny cannot be used together", (read.host, read.path))
    return read


def _read_host(text: str) -> str:
    name, colon, port = text.partition(":")
    if not colon:
        return read_host(name) if name else ""
    host = read_host(name)
    if not _PORT.fullmatch(port) or int(port) > 65535:
        raise ValueError("must have a port from 1 to 65535 after its host")
    if host.startswith("*."):
        raise ValueError("must not have a port after a wildcard host")
    return f"{host}:{port}"


def _read_prefix(text: str) -> str:
    if "*" in text or "{" in text:
        raise ValueError('must have a plain path, without "*" or "{"')
    if "$" in text:
        raise ValueError("must not have a variable such as $DC in its path")
    return "/*" if text == "/" else read_path(text) + "**"


def _read_plain_path(value: str) -> str:
    _read_prefix(value)
    return value


def _strip(read: UrlPrefix, value: str) -> UrlPrefix:
    return replace(read, handling=replace(read.handling, strip=_read_plain_path(value)))


def _prepend(read: UrlPrefix, value: str) -> UrlPrefix:
    path = _read_plain_path(value if value.startswith("/") or not value else "/" + value)
    return replace(read, handling=replace(read.handling, prepend=path))


def _host(read: UrlPrefix, value: str) -> UrlPrefix:
    host = value if value == "dst" else _read_host(value)
    if not host or host.startswith("*."):
        raise ValueError("must be dst or a host name")
    return replace(read, handling=replace(read.handling, host=host))


def _proto(read: UrlPrefix, value: str) -> UrlPrefix:
    if value not in ("http", "ws"):
        raise ValueError("is not supported; instances are spoken to in HTTP/1.1, WebSocket included")
    return read


def _weight(read: UrlPrefix, value: str) -> UrlPrefix:
    if not _FRACTION.fullmatch(value):
        raise ValueError("must be a fraction of the traffic such as 0.2")
    return replace(read, fraction=max(0.0, float(value)))  # 0 and less: no fixed weight


def _redirect(read: UrlPrefix, value: str) -> UrlPrefix:
    code, _, location = value.partition(",")
    if code not in map(str, REDIRECTS):
        raise ValueError(f"must be CODE,URL with one of the codes {', '.join(map(str, REDIRECTS))}")
    if not _LOCATION.fullmatch(location) or "," in location:
        raise ValueError("must have an http:// or https:// URL after its code, without fragment")
    return replace(read, handling=replace(read.handling, redirect=int(code), location=location))


def _allow(read: UrlPrefix, value: str) -> UrlPrefix:
    return replace(read, handling=replace(read.handling, allow=_networks(value)))


def _deny(read: UrlPrefix, value: str) -> UrlPrefix:
    return replace(read, handling=replace(read.handling, deny=_networks(value)))


def _networks(value: str) -> tuple[str, ...]:
    """`ip:` and an address or CIDR, several with commas; later ones may lack the `ip:`, as in Fabio's documentation."""
    networks: list[str] = []
    for element in value.split(","):
        is_marked = element[:3].lower() == "ip:"
        if not (is_marked or networks):
            raise ValueError("must be ip: and an address or CIDR, several separated by commas")
        network = ip_network(element[3:] if is_marked else element, strict=False)
        if network.version == 6 and network.network_address.ipv4_mapped is not None:
            raise ValueError("must have IPv4 addresses written as such")
        networks.append(str(network))
    return tuple(networks)


_OPTIONS: Final[dict[str, Callable[[UrlPrefix, str], UrlPrefix]]] = {
    "strip": _strip,
    "prepend": _prepend,
    "host": _host,
    "proto": _proto,
    "weight": _weight,
    "redirect": _redirect,
    "allow": _allow,
    "deny": _deny,
}
