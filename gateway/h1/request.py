"""A request head, understood: `parse_request_head` accepts what has exactly one meaning.

Theory: the request line and every field line is matched against the grammar, unless the very same line was
before: then it is known whether it means something to an intermediary (`fields.remember`). Clients on kept
connections send the same block again and again (the same library, cookies and credentials), so a connection
hands its last `RequestFields` back in and they are used again when the bytes are equal (`parse_similar_head`).
"""

from __future__ import annotations

from ipaddress import AddressValueError, IPv6Address
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
from gateway.h1.grammar import (
    FIELD_LINES,
    HOST,
    OTHER_VERSION,
    PROTOCOL,
    REQUEST_LINE,
    REQUEST_LINE_START,
    TOKEN,
)

# "_" counts as "-" here: servers behind that turn both into one variable (CGI, WSGI) would take X_Forwarded_For or
# Content_Length for the real field, so the look-alikes are understood to be dropped.
_SPECIAL: Final = HOP_BY_HOP.difference((b"proxy-authenticate",)).union(
    (b"host", b"content-length", b"expect", b"via", b"forwarded", b"x-request-id", b"x-real-ip"),
    (b"traceparent", b"tracestate"),
)
# What a field line turned out to be.
_TRAVELS_ON: Final = 0
_HOST: Final = 1
_OTHER: Final = 2
_kinds: Final[Kinds] = {}

# Fields that the gateway writes itself, or passes on for trusted proxies only (those and all that begin with
# _FORWARDED), so the client's never travel on inside the block.
_OWNED: Final = frozenset((b"x-request-id", b"traceparent", b"tracestate", b"x-real-ip", b"forwarded", b"via"))
_FORWARDED: Final = b"x-forwarded-"
_PLAIN: Final = frozenset((b"host", b"content-length", b"expect"))  # understood, yet forwarded as they are
_USUAL_METHODS: Final = frozenset((b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"PATCH", b"OPTIONS"))
_NOT_A_BLOCK: Final = b"\0"  # equals nothing that a client can have sent
# RFC 9112 7: codings that exist, which the gateway does not take apart (501 rather than 400).
_KNOWN_CODINGS: Final = frozenset((b"chunked", b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress"))


class RequestFields:
    """What a block of field lines says."""

    __slots__ = (
        "block",
        "block_and_end",
        "chunked",
        "close",
        "connection_upgrade",
        "content_length",
        "expect_continue",
        "forward",
        "host",
        "host_field",
        "keep_alive",
        "owned",
        "te_trailers",
        "upgrade",
    )

    def __init__(self, block: bytes) -> None:
        self.block = block  # as received
        self.block_and_end = block + b"\r\n"  # with the empty line
        self.forward = block  # as forwarded: without hop-by-hop, nominated and owned fields
        self.host = b""  # lower case, without port
        self.host_field = b""  # as written; empty when there is none
        self.content_length = -1  # -1: no such field
        self.chunked = False
        self.close = False
        self.keep_alive = False
        self.connection_upgrade = False
        self.upgrade = b""
        self.expect_continue = False
        self.te_trailers = False
        self.owned: dict[bytes, list[bytes]] = {}  # the client's own values of such fields, OWS stripped

    def copy(self) -> RequestFields:
        """The same, to be changed apart."""
        other = RequestFields(self.block)
        other.forward = self.forward
        other.host = self.host
        other.host_field = self.host_field
        other.content_length = self.content_length
        other.chunked = self.chunked
        other.close = self.close
        other.keep_alive = self.keep_alive
        other.connection_upgrade = self.connection_upgrade
        other.upgrade = self.upgrade
        other.expect_continue = self.expect_continue
        other.te_trailers = self.te_trailers
        other.owned = dict(self.owned)
        return other


class RequestHead:
    """One request's head. `target` is in origin form (`/path?query`), or `*`."""

    __slots__ = ("fields", "keep_alive", "length", "method", "minor", "path", "target")

    def __init__(self, method: bytes, target: bytes, minor: int, fields: RequestFields, length: int) -> None:
        self.method = method
        self.target = target
        self.minor = minor  # of HTTP/1.x
        self.length = length  # bytes, the empty line included
        self.fields = fields
        self.path = target[: target.index(b"?")] if 0x3F in target else target  # "?"
        # RFC 9112 9.3: persistence
        self.keep_alive = not fields.close and (minor == 1 or fields.keep_alive)


def check_partial_head(data: bytes, limit: int) -> None:
    """Raise GatewayError when an unfinished head can already not become a good one, or is over `limit` bytes.

    What is no HTTP (a TLS hello, a bare line feed) would otherwise hold the connection until its timeout.
    Only the first `limit` bytes count, so that the answer is the same however the bytes arrive.
    """
    end = min(len(data), limit)
    line = REQUEST_LINE.match(data, 0, end)
    if line is not None:
        if not may_become_lines(data, line.end(), end):
            raise GatewayError(Reason.MALFORMED_REQUEST, what_is_wrong(data, line.end(), end))
    elif data.find(b"\n", 0, end) >= 0 or REQUEST_LINE_START.fullmatch(data, 0, end) is None:
        raise _bad_request_line(data, end)
    if len(data) > limit:
        too_long = Reason.HEADER_TOO_LARGE if line is not None else Reason.TARGET_TOO_LONG
        raise GatewayError(too_long, f"head over {limit} bytes")


def parse_request_head(data: bytes, end: int, max_fields: int) -> RequestHead:
    """The head in `data[:end]`, where `end` is just past the empty line. Raises GatewayError (4xx, 5xx)."""
    line_end = data.find(b"\r\n")
    if line_end < 0 or line_end >= end:
        raise _bad_request_line(data, end)
    method, target, minor = _parse_request_line(data, line_end, end)
    return _head(method, target, minor, _parse_fields(data[line_end + 2 : end - 2], max_fields), end)


def parse_similar_head(data: bytes, previous: RequestFields) -> RequestHead | None:
    """The head that `data` begins with, if its fields are the very bytes of `previous`; None if they are not.

    Raises GatewayError as `parse_request_head` does.
    """
    line_end = data.find(b"\r\n")
    if line_end <= 0 or not data.startswith(previous.block_and_end, line_end + 2):
        return None
    end = line_end + 2 + len(previous.block_and_end)
    method, target, minor = _parse_request_line(data, line_end, end)
    return _head(method, target, minor, previous, end)


def _parse_request_line(data: bytes, line_end: int, end: int) -> tuple[bytes, bytes, int]:
    """Method, target, minor version."""
    parts = data[:line_end].split(b" ")
    if len(parts) == 3 and parts[2] == b"HTTP/1.1" and parts[0] in _USUAL_METHODS and _is_target(parts[1]):
        return parts[0], parts[1], 1
    line = REQUEST_LINE.match(data)
    if line is None:
        raise _bad_request_line(data, end)
    method, target, minor_digit = line.groups()
    return method, target, 1 if minor_digit == b"1" else 0


def _head(method: bytes, target: bytes, minor: int, fields: RequestFields, end: int) -> RequestHead:
    """What the request line and the fields say together."""
    if fields.chunked and minor == 0:
        raise GatewayError(Reason.MALFORMED_REQUEST, "Transfer-Encoding in HTTP/1.0")
    if not fields.host_field and minor == 1:
        raise GatewayError(Reason.BAD_HOST, "Host is missing")
    if target[0] != 0x2F or method == b"CONNECT":  # "/"
        return _other_form(method, target, minor, fields, end)
    return RequestHead(method, target, minor, fields, end)


def _is_target(target: bytes) -> bool:
    """Visible ASCII without "#", as REQUEST_LINE says, at half its cost. `target` holds no space."""
    return bool(target) and target.isascii() and 0x23 not in target and target.decode("ascii").isprintable()


def _parse_fields(block: bytes, max_fields: int) -> RequestFields:
    lines = block.split(b"\r\n")  # the last one is empty
    hosts = 0
    is_usual = True
    for at in range(len(lines) - 1):
        kind = _kinds.get(lines[at])
        if kind is None:
            kind = _learn(lines[at], block)
        if kind == _HOST:
            hosts += 1
        elif kind == _OTHER:
            is_usual = False
    if len(lines) - 1 > max_fields:
        raise GatewayError(Reason.HEADER_TOO_LARGE, f"over {max_fields} header fields")
    fields = RequestFields(block)
    if is_usual and hosts == 1:
        lower = b"\n" + block.lower()
        start = lower.index(b"\nhost:") + 6
        _set_host(fields, lower[start : lower.index(b"\r", start)].strip(b" \t"), block, lower)
    elif hosts or not is_usual:
        _read_special(fields, lines)
    return fields


def _learn(line: bytes, block: bytes) -> int:
    """What kind of line this is. Raises GatewayError when it is malformed."""
    if FIELD_LINES.fullmatch(line + b"\r\n") is None:
        raise GatewayError(Reason.MALFORMED_REQUEST, what_is_wrong(block, 0, len(block)))
    name = line[: line.index(b":")].lower()
    kind = _HOST if name == b"host" else _OTHER if _is_special(name) else _TRAVELS_ON
    remember(_kinds, line, kind)
    return kind


def _is_special(name: bytes) -> bool:
    name = name.replace(b"_", b"-")
    return name in _SPECIAL or (name.startswith(_FORWARDED) and len(name) > len(_FORWARDED))


def _read_special(fields: RequestFields, lines: list[bytes]) -> None:
    """Take in every line that means something here."""
    by_name: dict[bytes, list[bytes]] = {}
    for line in lines:
        name, _, value = line.lower().partition(b":")
        if _is_special(name):
            by_name.setdefault(name, []).append(value.strip(b" \t"))
    lower = b"\n" + fields.block.lower()
    hosts = by_name.get(b"host", ())
    if len(hosts) > 1:
        raise GatewayError(Reason.BAD_HOST, "Host is repeated")
    if hosts:
        _set_host(fields, hosts[0], fields.block, lower)
    if b"content-length" in by_name:
        fields.content_length = content_length(by_name[b"content-length"], Reason.AMBIGUOUS_LENGTH)
    if b"transfer-encoding" in by_name:
        _set_transfer_encoding(fields, by_name[b"transfer-encoding"])
    fields.expect_continue = _expects_continue(by_name.get(b"expect", []))
    dropped = set(by_name) - _PLAIN
    if b"connection" in by_name:
        dropped |= _read_connection(fields, by_name[b"connection"])
    if fields.connection_upgrade and b"upgrade" in by_name:
        fields.upgrade = _protocols(_original(fields.block, lower, b"upgrade"))
    if b"te" in by_name:
        fields.te_trailers = any(b"trailers" in list_tokens(value) for value in by_name[b"te"])
    fields.owned = {name: _original(fields.block, lower, name) for name in by_name if _is_owned(name)}
    if dropped:
        fields.forward = without(fields.block, dropped)


def _is_owned(name: bytes) -> bool:
    return name in _OWNED or (name.startswith(_FORWARDED) and b"_" not in name)


def _set_host(fields: RequestFields, value: bytes, block: bytes, lower: bytes) -> None:
    match = HOST.fullmatch(value)
    if match is None:
        raise GatewayError(Reason.BAD_HOST, f"Host is malformed: {value[:80]!r}")
    fields.host = match[1] or _ip_literal(match[2])
    start = lower.index(b"\nhost:") + 5  # `lower` has one byte more in front than `block`
    fields.host_field = block[start : block.index(b"\r", start)].strip(b" \t")


def _ip_literal(address: bytes) -> bytes:
    try:
        IPv6Address(address.decode("ascii"))
    except AddressValueError:
        raise GatewayError(Reason.BAD_HOST, f"the host is no IPv6 address: {address[:80]!r}") from None
    return b"[" + address + b"]"


def _set_transfer_encoding(fields: RequestFields, values: list[bytes]) -> None:
    if fields.content_length >= 0:
        raise GatewayError(Reason.AMBIGUOUS_LENGTH, "Content-Length beside Transfer-Encoding")
    if values == [b"chunked"]:  # not even an empty list element beside it
        fields.chunked = True
        return
    codings = [token for value in values for token in list_tokens(value)]
    is_final = codings[-1:] == [b"chunked"] and codings.count(b"chunked") == 1 and len(codings) > 1
    if is_final and _KNOWN_CODINGS.issuperset(codings):
        raise GatewayError(Reason.TRANSFER_CODING, f"transfer codings {b', '.join(codings)!r}")
    raise GatewayError(Reason.AMBIGUOUS_LENGTH, f"Transfer-Encoding {b', '.join(values)[:80]!r}")


def _read_connection(fields: RequestFields, values: list[bytes]) -> set[bytes]:
    tokens = {token for value in values for token in list_tokens(value)}
    if any(TOKEN.fullmatch(token) is None for token in tokens):
        raise GatewayError(Reason.MALFORMED_REQUEST, "Connection is malformed")
    fields.close = b"close" in tokens
    fields.keep_alive = b"keep-alive" in tokens
    fields.connection_upgrade = b"upgrade" in tokens
    return tokens - NEVER_NOMINATED


def _protocols(values: list[bytes]) -> bytes:
    """The protocols of Upgrade, but for HTTP/2: an h2c connection would tunnel past every rule of the gateway."""
    protocols = [part for value in values for element in value.split(b",") if (part := element.strip(b" \t"))]
    if any(PROTOCOL.fullmatch(protocol) is None for protocol in protocols):
        raise GatewayError(Reason.MALFORMED_REQUEST, "Upgrade is malformed")
    return b", ".join(part for part in protocols if not part.lower().startswith((b"h2", b"http/")))


def _expects_continue(values: list[bytes]) -> bool:
    # RFC 9110 10.1.1: the only expectation defined; others are left to the upstream.
    return any(b"100-continue" in list_tokens(value) for value in values)


def _original(block: bytes, lower: bytes, name: bytes) -> list[bytes]:
    """The values of a field with their case kept, OWS stripped. `lower` is b"\\n" + block.lower()."""
    values = []
    needle = b"\n" + name + b":"
    at = lower.find(needle)
    while at >= 0:
        start = at + len(needle) - 1
        values.append(block[start : block.index(b"\r", start)].strip(b" \t"))
        at = lower.find(needle, at + 1)
    return values


def _other_form(method: bytes, target: bytes, minor: int, fields: RequestFields, end: int) -> RequestHead:
    """RFC 9112 3.2.2 (absolute-form), 3.2.3 (authority-form) and 3.2.4 (asterisk-form)."""
    if method == b"CONNECT":
        raise GatewayError(Reason.METHOD_NOT_ALLOWED, "CONNECT")
    if target == b"*" and method == b"OPTIONS":
        return RequestHead(method, target, minor, fields, end)
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        raise GatewayError(Reason.MALFORMED_REQUEST, f"request target {target[:80]!r}")
    cut = min((at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0), default=len(rest))
    authority, path = rest[:cut], rest[cut:]
    match = HOST.fullmatch(authority)
    if match is None:  # userinfo included: it is deprecated and a phisher's tool (RFC 9110 4.2.4)
        raise GatewayError(Reason.BAD_HOST, f"authority {authority[:80]!r} in the target")
    # RFC 9112 3.2.2: the target's authority replaces the Host field, whatever that says.
    own = fields.copy()
    own.host = (match[1] or _ip_literal(match[2])).lower()
    own.host_field = authority
    own.forward = b"Host: " + authority + b"\r\n" + without(fields.forward, {b"host"})
    own.block = own.block_and_end = _NOT_A_BLOCK  # what is true of this target must not be reused for the next one
    if not path and method == b"OPTIONS":  # RFC 9112 3.2.4
        return RequestHead(method, b"*", minor, own, end)
    origin = path if path.startswith(b"/") else b"/" + path
    return RequestHead(method, origin, minor, own, end)


def _bad_request_line(data: bytes, end: int) -> GatewayError:
    """What to say of the first line in `data[:end]`, which may be unfinished."""
    line = data[:end].partition(b"\n")
    is_other_version = OTHER_VERSION.fullmatch(line[0] + line[1]) is not None
    reason = Reason.VERSION if is_other_version else Reason.MALFORMED_REQUEST
    return GatewayError(reason, f"request line {line[0][:80]!r}")
