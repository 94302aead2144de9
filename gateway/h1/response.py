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
    Kinds,
    content_length,
    list_tokens,
    may_become_lines,
    remember,
    what_is_wrong,
    without,
)
from gateway.h1.grammar import CONTENT_LENGTH_DIGITS, FIELD_LINES, STATUS_LINE, STATUS_LINE_START

_OWNED: Final = frozenset((b"x-gateway", b"x-request-id"))
_SPECIAL: Final = HOP_BY_HOP | _OWNED | {b"content-length"}

# What a field line turned out to be. Above 0: one more than the Content-Length that it says.
_PLAIN: Final = 0  # just travels on
_KEEP_ALIVE: Final = -1  # Connection: keep-alive
_CLOSE: Final = -2  # Connection: close
_OTHER: Final = -3  # to be looked at together with the others
_kinds: Final[Kinds] = {}


class _StatusLine:
    """One line, taken apart."""

    __slots__ = ("minor", "phrase", "status")

    def __init__(self, status: int, phrase: bytes, minor: int) -> None:
        self.status = status
        self.phrase = phrase
        self.minor = minor


_STATUS_LINES_KEPT: Final = 256
_status_lines: Final[dict[bytes, _StatusLine]] = {}


class ResponseHead:
    """One response's head. `forward` holds the end-to-end field lines, Content-Length among them."""

    __slots__ = ("chunked", "close", "content_length", "forward", "minor", "phrase", "received", "status", "upgrade")

    def __init__(self, status: int, phrase: bytes, minor: int, forward: bytes) -> None:
        self.status = status
        self.phrase = phrase
        self.minor = minor
        self.forward = forward
        self.content_length = -1
        self.chunked = False
        self.close = minor == 0
        self.upgrade = b""
        self.received = b""  # as it came, the empty line included; set by `parse_response_head`

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
    """The head in `data[start:end]`, `end` just past the empty line. Raises GatewayError(BAD_RESPONSE).

    Instances write the same lines again and again, so what a line was found to be is remembered; see `fields.remember`.
    """
    lines = data[start : end - 4].split(b"\r\n")
    first = _status_lines.get(lines[0])
    if first is None:
        first = _read_status_line(lines[0])
    block = data[start + len(lines[0]) + 2 : end - 2]
    head = ResponseHead(first.status, first.phrase, first.minor, block)
    length = 0  # as in _kinds
    connection = 0  # number of the line
    is_usual = True
    for at in range(1, len(lines)):
        kind = _kinds.get(lines[at])
        if kind is None:
            kind = _learn(lines[at], block)
        if kind == _PLAIN:
            continue
        if kind > 0 and not length:
            length = kind
        elif _OTHER < kind < _PLAIN and not connection:
            connection = at
            head.close = kind == _CLOSE
        else:
            is_usual = False
    if not is_usual:
        _read_special(head, lines)
    else:
        head.content_length = length - 1
        if connection:
            del lines[connection]
            lines[0] = b""
            head.forward = b"\r\n".join(lines)[2:] + b"\r\n" if len(lines) > 1 else b""
    if head.status < 205 and head.status != 200:
        _check_without_content(head)
    head.received = data[start:end]
    return head


def _read_status_line(line: bytes) -> _StatusLine:
    match = STATUS_LINE.fullmatch(line + b"\r\n")
    if match is None:
        raise GatewayError(Reason.BAD_RESPONSE, f"status line {line[:60]!r}")
    minor_digit, code, phrase = match.groups()
    read = _StatusLine(int(code), phrase or b"", 1 if minor_digit == b"1" else 0)
    if len(_status_lines) >= _STATUS_LINES_KEPT:
        _status_lines.clear()
    _status_lines[line] = read
    return read


def _learn(line: bytes, block: bytes) -> int:
    """What kind of line this is. Raises GatewayError when it is malformed."""
    if FIELD_LINES.fullmatch(line + b"\r\n") is None:
        raise GatewayError(Reason.BAD_RESPONSE, what_is_wrong(block, 0, len(block)))
    name, _, value = line.lower().partition(b":")
    value = value.strip(b" \t")
    kind = _PLAIN
    if name == b"content-length" and value.isdigit() and len(value) <= CONTENT_LENGTH_DIGITS:
        kind = int(value) + 1
    elif name == b"connection" and value == b"keep-alive":
        kind = _KEEP_ALIVE
    elif name == b"connection" and value == b"close":
        kind = _CLOSE
    elif name in _SPECIAL:
        kind = _OTHER
    remember(_kinds, line, kind)
    return kind


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


def _read_special(head: ResponseHead, lines: list[bytes]) -> None:
    """Take in every line that means something here; the first of `lines` is the status line."""
    head.close = head.minor == 0
    by_name: dict[bytes, list[bytes]] = {}
    for line in lines[1:]:
        name, _, value = line.lower().partition(b":")
        if name in _SPECIAL:
            by_name.setdefault(name, []).append(value.strip(b" \t"))
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
