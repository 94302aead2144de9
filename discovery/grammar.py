"""The grammar of values in tags: text in, a value in its normal form out. Pure.

Every reader raises ValueError with what would be right ("must be ..."). Bounds are those of the
configuration file, which checks the same keys by its schema.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Final

# RFC 3986 section 3.3 without "*", "{" and "}", which mean something in a route's path
_PATH_TEXT: Final = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()+,;=:@/]|%[0-9A-Fa-f]{2})*")
_SEGMENT_NAME: Final = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")  # RFC 1123 section 2.1, and "_"
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
_FIELD_VALUE: Final = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?")  # RFC 9110 section 5.5, without obs-text
_PROBE_PATH: Final = re.compile(r"/[!-\"$-~]*")
_DATACENTER: Final = re.compile(r"[a-z0-9_-]{1,64}")
_NUMBER: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_RANGE: Final = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")

# Fields of the connection (RFC 9110 section 7.6.1), of the body's framing, or written by the gateway itself.
RESERVED_FIELDS: Final = frozenset(
    {
        "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization",
        "te", "trailer", "transfer-encoding", "upgrade", "content-length", "expect", "host",
        "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id", "traceparent", "tracestate",
    }
)  # fmt: skip


def read_path(text: str) -> str:
    """A route's path: exact, a prefix ending in /*, with whole {name} segments."""
    if not text.startswith("/"):
        raise ValueError('must begin with "/"')
    body = text.removesuffix("/*")
    names = [segment for segment in body.split("/") if "{" in segment or "}" in segment]
    if not all(_SEGMENT_NAME.fullmatch(segment) for segment in names):
        raise ValueError("must have {name} as a whole segment between slashes")
    if len(set(names)) < len(names):
        raise ValueError("must not use the name of a {name} segment twice")
    if "*" in body:
        raise ValueError('may hold "*" only as the last segment, as in /api/*')
    if not _PATH_TEXT.fullmatch("/".join(segment for segment in body.split("/") if segment not in names)):
        raise ValueError("must be a URL path without query, other characters percent-encoded")
    return text


def read_host(text: str) -> str:
    """A host name or *.domain, without port; lower case."""
    lower = text.lower()
    labels = lower.removeprefix("*.").split(".")
    if len(lower) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("must be a host name without port, or *. and a domain")
    if lower.startswith("*.") and labels[-1].isdigit():
        raise ValueError("must not be a wildcard under an IP address")
    return lower


def read_methods(text: str) -> tuple[str, ...]:
    """Request methods, separated by commas."""
    methods = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if not all(_TOKEN.fullmatch(method) and method == method.upper() for method in methods):
        raise ValueError("must be methods in upper case, such as GET,POST")
    return methods


def read_method(text: str) -> str:
    """One request method."""
    methods = read_methods(text)
    if len(methods) != 1:
        raise ValueError("must be one method, such as HEAD")
    return methods[0]


def read_flag(text: str) -> bool:
    """true or false."""
    if text.lower() not in ("true", "false"):
        raise ValueError("must be true or false")
    return text.lower() == "true"


def read_header(name: str, value: str) -> tuple[str, str]:
    """A header field that a route adds."""
    if not _TOKEN.fullmatch(name):
        raise ValueError("must have a valid header field name, such as X-Api-Version")
    if name.lower() in RESERVED_FIELDS:
        raise ValueError(f"must not set {name}: that field belongs to the connection or to the gateway itself")
    if not _FIELD_VALUE.fullmatch(value):
        raise ValueError("must have visible ASCII characters as its value")
    return name, value


def seconds(low: float, high: float, *, above: bool = False) -> Callable[[str], float]:
    """A reader of seconds within bounds; `above`: the low bound itself is out."""

    def read(text: str) -> float:
        value = float(text) if _NUMBER.fullmatch(text) else -1.0
        if not low <= value <= high or (above and value == low):
            raise ValueError(f"must be seconds {'above' if above else 'from'} {low:g} to {high:g}, such as 5 or 0.5")
        return value

    return read


def whole(low: int, high: int) -> Callable[[str], int]:
    """A reader of whole numbers within bounds."""

    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or len(text) > 9 or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return read


def word(*words: str) -> Callable[[str], str]:
    """A reader of one word of a few, in any case."""

    def read(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text.lower()

    return read


def read_probe_path(text: str) -> str:
    """What an HTTP probe asks for: a path, a query allowed."""
    if not _PROBE_PATH.fullmatch(text):
        raise ValueError('must begin with "/" and hold visible ASCII characters only')
    return text


def read_status_ranges(text: str) -> tuple[tuple[int, int], ...]:
    """Status codes and ranges of them, separated by commas; two bare codes are a range, as in the file."""
    words = [part.strip() for part in text.split(",")]
    if len(words) == 2 and all(word.isdecimal() for word in words):
        words = ["-".join(words)]
    found = [_RANGE.fullmatch(word) for word in words]
    ranges = tuple((int(match[1]), int(match[2] or match[1])) for match in found if match)
    if len(ranges) < len(found) or any(low > high for low, high in ranges):
        raise ValueError("must be status codes and ranges of them such as 200-299,404")
    return ranges


def read_probe_host(text: str) -> str:
    """HOST or HOST:PORT, for the Host field of a probe; lower case."""
    name, colon, port = text.partition(":")
    if colon and not (port.isdecimal() and len(port) <= 5 and 0 < int(port) <= 65535):
        raise ValueError("must be HOST or HOST:PORT")
    if name.startswith("*"):
        raise ValueError("must be one host, not a wildcard")
    if name.rpartition(".")[2].isdigit():
        try:
            ipaddress.IPv4Address(name)
        except ValueError:
            raise ValueError("must have a valid IPv4 address or a host name") from None
    return f"{read_host(name)}:{int(port)}" if colon else read_host(name)


def read_text(text: str) -> str:
    """Any text of reasonable length."""
    if not 0 < len(text) <= 1024:
        raise ValueError("must be 1 to 1024 characters")
    return text


def read_datacenters(text: str) -> str:
    """Consul datacenters in the order in which they are used: "dc2,dc3"."""
    names = [name.strip() for name in text.split(",")]
    if not all(_DATACENTER.fullmatch(name) for name in names):
        raise ValueError(
            "must be datacenters' names (lower-case letters, digits, - and _) with commas, such as dc2,dc3"
        )
    if len(set(names)) < len(names):
        raise ValueError("must not name a datacenter twice")
    return ",".join(names)


def read_hash_on(text: str) -> str:
    """client_ip, path, header:NAME or cookie:NAME."""
    kind, _, name = text.partition(":")
    if text not in ("client_ip", "path") and not (kind in ("header", "cookie") and _TOKEN.fullmatch(name)):
        raise ValueError("must be client_ip, path, header:NAME or cookie:NAME")
    return text
