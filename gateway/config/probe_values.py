"""The grammar of what only health checks ask for; as `values`."""

from __future__ import annotations

import re
from typing import Final

from discovery.model import join_address
from gateway.config.values import Untyped, split_host_port

_PROBE_TARGET: Final = re.compile(r"/[!-\"$-~]*")  # visible ASCII; "#" never goes over the wire
_STATUS_RANGE: Final = re.compile(r"([0-9]{3})(?:-([0-9]{3}))?")
_STATUS_WANTED: Final = 'must be [low, high], or a list of codes and ranges such as ["200-299", "404"]'


def to_status_ranges(value: object) -> object:
    """[200, 399] is a range, ["200-299", "404"] a list of ranges and codes; both as ((low, high), ...).

    `Untyped` text is the same without brackets and quotes: "200,399" and "200-299,404".
    """
    items = value
    if isinstance(value, Untyped):
        words = [word.strip() for word in value.split(",")]
        is_pair = len(words) == 2 and all(word.isdecimal() for word in words)
        items = [int(word) for word in words] if is_pair else words
    if not isinstance(items, list | tuple) or not items:
        raise ValueError(_STATUS_WANTED)
    if all(type(item) is int for item in items):
        if len(items) != 2:
            raise ValueError(_STATUS_WANTED)
        ranges = [(items[0], items[1])]
    else:
        ranges = [_status_range(item) for item in items]
    if not all(100 <= low <= high <= 599 for low, high in ranges):
        raise ValueError("must have status codes from 100 to 599, the low one of a range first")
    return tuple(ranges)


def _status_range(item: object) -> tuple[int, int]:
    match = _STATUS_RANGE.fullmatch(item) if isinstance(item, str) else None
    if match is None:
        raise ValueError(_STATUS_WANTED)
    return int(match[1]), int(match[2] or match[1])


def check_probe_path(text: str) -> str:
    """The target of an HTTP probe: a path, a query allowed."""
    if not _PROBE_TARGET.fullmatch(text):
        raise ValueError('must begin with "/" and hold visible ASCII characters only, such as /health')
    return text


def check_probe_host(text: str) -> str:
    """HOST or HOST:PORT of a probe's Host field; "" for the instance's own address."""
    if text == "":
        return ""
    host, port = split_host_port(text)
    if port is None:
        return f"[{host}]" if ":" in host else host
    return join_address(host, port)


def check_regex(text: str) -> str:
    """A regular expression of Python's."""
    try:
        re.compile(text.encode())
    except re.error as error:
        raise ValueError(f"must be a regular expression: {error}") from None
    return text
