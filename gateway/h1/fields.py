"""The fields of a head: which ones the gateway must understand, and what is left to forward.

A head's field lines are kept as one block of bytes, validated as a whole by the grammar. Only the
fields that mean something to an intermediary are looked at one by one; all others travel on
inside the block, so that their order, case, duplicates and values stay as they were written.
"""

from __future__ import annotations

from typing import Final

from gateway.errors import GatewayError, Reason
from gateway.h1.grammar import CONTENT_LENGTH_DIGITS, FIELD_LINE_START, FIELD_LINES, TOKEN

# RFC 9110 7.6.1 and RFC 9112 appendix C.2.2: meant for one connection only, never forwarded. Credentials
# for a proxy and its challenge are between the client and the proxy next to it (RFC 9110 11.7), which the
# gateway is not: it asks for none.
HOP_BY_HOP: Final = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    )
)

# Fields that a Connection header may not take away from what is forwarded: they frame or route the
# message, or the gateway answers for them (RFC 9110 7.6.1 forbids nominating such; an attacker may try).
NEVER_NOMINATED: Final = frozenset(
    (
        b"host",
        b"content-length",
        b"x-request-id",
        b"traceparent",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-forwarded-host",
        b"forwarded",
        b"via",
        b"authorization",
        b"cookie",
        b"set-cookie",
        b"cache-control",
        b"date",
        b"content-type",
        b"content-encoding",
        b"content-range",
        b"range",
        b"expect",
        b"max-forwards",
        b"tracestate",
    )
)

_FEW_NAMES: Final = 6  # up to here looking for each name is quicker than looking at each line


Kinds = dict[bytes, int]  # what a field line turned out to be, by the line

_LINES_KEPT: Final = 4096
_LONGEST_KEPT: Final = 160  # bytes; longer ones are cookies and the like, hardly ever the same


def remember(kinds: Kinds, line: bytes, kind: int) -> None:
    """Remember what a well-formed field line is, so that the next one like it costs a look-up, not a match.

    Only what the bytes of the line alone decide may be remembered. Bounded: when full it starts anew, which
    costs each line one match; lines that differ every time (dates, ids) can do no more harm than that.
    """
    if len(line) <= _LONGEST_KEPT:
        if len(kinds) >= _LINES_KEPT:
            kinds.clear()
        kinds[line] = kind


def may_become_lines(data: bytes, start: int, end: int) -> bool:
    """Can the bytes `data[start:end]` still become field lines, now that no empty line has ended them?"""
    lines = FIELD_LINES.match(data, start, end)
    return FIELD_LINE_START.fullmatch(data, lines.end() if lines else start, end) is not None


def what_is_wrong(data: bytes, start: int, end: int) -> str:
    """Which of the field lines in `data[start:end]` is malformed, and how. Never its value: that may be a secret."""
    lines = FIELD_LINES.match(data, start, end)
    at = lines.end() if lines else start
    line = data[at:end].partition(b"\n")[0]
    name, colon, _ = line.partition(b":")
    number = data.count(b"\n", start, at) + 1
    if line[:1] in (b" ", b"\t"):
        return f"header line {number} is folded"
    if not colon:
        return f"header line {number} has no colon"
    if TOKEN.fullmatch(name) is None:
        return f"header line {number} has a malformed name: {name[:40]!r}"
    return f"header line {number}, {name[:40]!r}, holds a control character"


def content_length(values: list[bytes], reason: Reason) -> int:
    """The one Content-Length (RFC 9112 6.3). Repeated, signed, spaced or empty ones raise GatewayError(reason)."""
    if len(values) != 1:
        raise GatewayError(reason, "Content-Length is repeated")
    value = values[0].rstrip(b" \t")
    if len(value) > CONTENT_LENGTH_DIGITS or not value.isdigit():
        raise GatewayError(reason, f"Content-Length is not a number: {value[:40]!r}")
    return int(value)


def list_tokens(value: bytes) -> list[bytes]:
    """The lower-case elements of a comma-separated list, empty ones left out (RFC 9110 5.6.1)."""
    return [token for part in value.split(b",") if (token := part.strip(b" \t").lower())]


def without(block: bytes, names: frozenset[bytes] | set[bytes]) -> bytes:
    """The field lines of `block` whose lower-case names are not in `names`."""
    if len(names) > _FEW_NAMES:
        kept = [line for line in block.split(b"\r\n") if line and line[: line.index(b":")].lower() not in names]
        return b"\r\n".join(kept) + b"\r\n" if kept else b""
    lower = b"\n" + block.lower()
    for name in names:
        needle = b"\n%b:" % name
        start = lower.find(needle)
        while start >= 0:
            end = lower.index(b"\n", start + 1)
            block = block[:start] + block[end:]  # `lower` has one byte more in front
            lower = lower[:start] + lower[end:]
            start = lower.find(needle, start)
    return block
