"""A response head, understood: as strict with instances as `request` is with clients.

A response that has two readings is worth more to an attacker than a 502 costs, so anything
ambiguous raises GatewayError(BAD_RESPONSE).
"""

from __future__ import annotations

from typing import Final

from gateway.errors import GatewayError, Reason
from gateway.h1.fields import (
    HOP_BY_HOP,
    NEVER_NOMINATED,
    content_length,
    finder,
    list_tokens,
    may_become_lines,
    what_is_wrong,
    without,
)
from gateway.h1.grammar import FIELD_LINES, STATUS_LINE, STATUS_LINE_START

_SPECIAL: Final = finder(
    rb"content-length|transfer-encoding|connection|keep-alive|trailer|te|upgrade|proxy-connection|proxy-authenticate"
    rb"|proxy-authorization|http2-settings|x-gateway|x-request-id"
)
_OWNED: Final = frozenset((b"x-gateway", b"x-request-id"))


class ResponseHead:
    """One response's head. `forward` holds the end-to-end field lines, Content-Length among them."""

    __slots__ = ("chunked", "close", "content_length", "forward", "minor", "phrase", "status", "upgrade")

    def __init__(self, status: int, phrase: bytes, minor: int, forward: bytes) -> None:
        self.status = status
        self.phrase = phrase
        self.minor = minor
        self.forward = forward
        self.content_length = -1
        self.chunked = False
        self.close = minor == 0
        self.upgrade = b""

    def has_body(self, method: bytes) -> bool:
        """RFC 9112 6.3, rules 1 and 2: no body whatever the fields say."""
        return not (method == b"HEAD" or self.status < 200 or self.status == 204 or self.status == 304)


def check_partial_response_head(data: bytes, limit: int) -> None:
    """Raise GatewayError(BAD_RESPONSE) when an unfinished head can not become a good one, or is over `limit` bytes.

    What speaks no HTTP is known by its first bytes; waiting for more would cost the response timeout.
    """
    end = min(len(data), limit)
    line = STATUS_LINE.match(data, 0, end)
    if line is not None:
        if not may_become_lines(data, line.end(), end):
            raise GatewayError(Reason.BAD_RESPONSE, what_is_wrong(data, line.end(), end))
    elif STATUS_LINE_START.fullmatch(data, 0, end) is None:
        raise GatewayError(Reason.BAD_RESPONSE, f"status line {data[:60]!r}")
    if len(data) > limit:
        raise GatewayError(Reason.BAD_RESPONSE, f"response head over {limit} bytes")


def parse_response_head(data: bytes, start: int, end: int) -> ResponseHead:
    """The head in `data[start:end]`, `end` just past the empty line. Raises GatewayError(BAD_RESPONSE)."""
    line = STATUS_LINE.match(data, start)
    if line is None:
        raise GatewayError(Reason.BAD_RESPONSE, f"status line {data[start : start + 60]!r}")
    minor_digit, code, phrase = line.groups()
    block = data[line.end() : end - 2]
    if FIELD_LINES.fullmatch(block) is None:
        raise GatewayError(Reason.BAD_RESPONSE, what_is_wrong(block, 0, len(block)))
    head = ResponseHead(int(code), phrase or b"", 1 if minor_digit == b"1" else 0, block)
    lower = b"\n" + block.lower()
    special = _SPECIAL.findall(lower)
    if special:
        if not _read_usual(head, special, lower):
            _read_special(head, special)
        if head.status < 205 and head.status != 200:
            _check_without_content(head)
    return head


def _read_usual(head: ResponseHead, special: list[tuple[bytes, bytes]], lower: bytes) -> bool:
    """Nearly every response says its length, and `keep-alive` or `close` at most. False: this one says more."""
    if len(special) > 2:
        return False
    connection: bytes | None = None
    length: bytes | None = None
    for name, value in special:
        if name == b"content-length" and length is None:
            length = value
        elif name == b"connection" and connection is None and (value == b"keep-alive" or value == b"close"):
            connection = value
        else:
            return False
    if length is not None:
        head.content_length = content_length([length], Reason.BAD_RESPONSE)
    if connection is not None:
        head.close = connection == b"close"
        start = lower.index(b"\nconnection:")  # `lower` has one byte more in front than the block
        head.forward = head.forward[:start] + head.forward[lower.index(b"\n", start + 1) :]
    return True


def _check_without_content(head: ResponseHead) -> None:
    """RFC 9110 8.6 and RFC 9112 6.1: 1xx and 204 have neither length nor coding; else what follows has two readings."""
    announced = head.chunked or head.content_length > 0
    if head.status == 204:
        head.close = head.close or announced  # what may follow the head is not taken for the next response
    elif head.status < 200:
        if announced:
            raise GatewayError(Reason.BAD_RESPONSE, f"a {head.status} response that announces content")
        if head.content_length == 0:
            head.forward = without(head.forward, {b"content-length"})


def _read_special(head: ResponseHead, special: list[tuple[bytes, bytes]]) -> None:
    by_name: dict[bytes, list[bytes]] = {}
    for name, value in special:
        by_name.setdefault(name, []).append(value.rstrip(b" \t"))
    if b"content-length" in by_name:
        head.content_length = content_length(by_name[b"content-length"], Reason.BAD_RESPONSE)
    if b"transfer-encoding" in by_name:
        if by_name[b"transfer-encoding"] != [b"chunked"] or head.minor == 0 or head.content_length >= 0:
            raise GatewayError(Reason.BAD_RESPONSE, "the length of the body is ambiguous")
        head.chunked = True
    tokens = {token for value in by_name.get(b"connection", ()) for token in list_tokens(value)}
    if b"close" in tokens:
        head.close = True
    elif b"keep-alive" in tokens:
        head.close = False
    if b"upgrade" in tokens and b"upgrade" in by_name:
        head.upgrade = by_name[b"upgrade"][0]
    dropped = (set(by_name) & (HOP_BY_HOP | _OWNED)) | (tokens - NEVER_NOMINATED)
    if dropped:
        head.forward = without(head.forward, dropped)
