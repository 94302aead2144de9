"""The form of a path in which it is matched: the one a backend will understand it to mean.

A route's pattern must not be walked around by writing the same path differently. Before matching,
escapes of unreserved characters are decoded, the hex digits of other escapes upper-cased (RFC 3986
section 6.2.2) and dot segments removed (section 5.2.4): `/public/../admin` and `/%61dmin` are matched
as `/admin`. An escaped slash stays `%2F`, and doubled slashes stay: servers differ on both, and
neither is equivalent by the RFC. What is forwarded is still the path as the client wrote it.
"""

from __future__ import annotations

from typing import Final

_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_HEX: Final = "0123456789abcdefABCDEF"


def _meaning(value: int) -> bytes:
    return bytes((value,)) if value in _UNRESERVED else b"%%%02X" % value


# The two digits after a "%" -> what the escape is written as.
_ESCAPES: Final = {
    f"{high}{low}".encode(): _meaning(int(high + low, 16)) for high in _HEX for low in _HEX
}  # fmt: skip


def is_plain(path: bytes) -> bool:
    """Whether `normal_path` would return the path as it is, by a cheap test that may say no too often."""
    return 0x25 not in path and 0x2E not in path  # "%", "."


def normal_path(path: bytes) -> bytes:
    """The path with unreserved characters decoded and dot segments removed. Linear in its length."""
    if 0x25 in path:
        first, *pieces = path.split(b"%")
        written = [first]
        for piece in pieces:
            meaning = _ESCAPES.get(piece[:2])
            # What is not an escape (`%zz`) stays as it is: refusing it is the parser's matter.
            written.append(b"%" + piece if meaning is None else meaning + piece[2:])
        path = b"".join(written)
    if 0x2E in path and path.find(b"/.") >= 0:
        path = _without_dot_segments(path)
    return path


def _without_dot_segments(path: bytes) -> bytes:
    first, *segments = path.split(b"/")
    kept: list[bytes] = []
    for segment in segments:
        if segment == b"..":
            if kept:
                kept.pop()
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")  # "/a/." is the directory "/a/"
    return first + b"/" + b"/".join(kept)


def normal_pattern(pattern: str) -> bytes:
    """A route's pattern in the same form: what a URL cannot hold as it is becomes escapes of its UTF-8."""
    written = b"".join(
        bytes((value,)) if 0x20 < value < 0x7F else b"%%%02X" % value for value in pattern.encode("utf-8")
    )
    return written if is_plain(written) else normal_path(written)
