"""Fabio's tags, `urlprefix-[host]/path [option...]`, as routes. Pure.

Fabio matches a prefix of the path as text; here /foo means /foo and everything below it, /foo/*, which is
what its users mean. Its options are honoured or the route is refused: `strip=` of the route's own path and
`proto=http`. Any other narrows, redirects or rewrites, and a route without it would open what it closed.
See https://fabiolb.net/cfg/ and https://fabiolb.net/feature/path-stripping/.
"""

from __future__ import annotations

from dataclasses import dataclass

from discovery.grammar import read_host, read_path


@dataclass(frozen=True, slots=True)
class UrlPrefix:
    """A tag understood."""

    host: str
    path: str
    strip_path: bool = False


class Refused(ValueError):
    """The tag asks for something that is not supported; its path and host, where known, stay closed."""

    def __init__(self, message: str, closes: tuple[str, str] | None) -> None:
        super().__init__(message)
        self.closes = closes


def read_urlprefix(text: str) -> UrlPrefix:
    """What follows the tag's prefix. Raises Refused."""
    target, *options = text.split()
    host, slash, rest = target.partition("/")
    if not slash:
        raise Refused("has no path; only HTTP routes, [host]/path, are supported", None)
    prefix = "/" + rest
    try:
        if "*" in prefix or "{" in prefix:
            raise ValueError('must have a plain path, without "*" or "{"')
        path = read_path(prefix.rstrip("/") + "/*")
        host = read_host(host) if host else ""
    except ValueError as error:
        raise Refused(str(error), None) from None
    strip = False
    for option in options:
        key, _, value = option.partition("=")
        match key:
            case "strip" if value.rstrip("/") == prefix.rstrip("/"):
                strip = path != "/*"
            case "strip":
                raise Refused(f"{option}: only the route's own path, strip={prefix}, can be stripped", (host, path))
            case "proto" if value == "http":
                pass
            case _:
                raise Refused(f"{option} is not supported", (host, path))
    return UrlPrefix(host, path, strip)
