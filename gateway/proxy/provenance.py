"""What proxies in front say of a request: where it comes from, and how it was asked for.

Rules: only what a trusted proxy says is looked at, and even that is checked before it is believed or
passed on, for a proxy may let its own client's words through. Lists are read from the right, the side
that the proxy next to the gateway wrote; what stands left of something malformed is dropped with it.
A field that must say one thing and says several is replaced by the gateway's own view.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final

from gateway.h1.grammar import HOST, TCHAR

if TYPE_CHECKING:
    from gateway.h1.request import RequestHead
    from gateway.proxy.context import Trust
    from gateway.proxy.downstream import Downstream

_Values = Sequence[bytes]
_Check = Callable[[bytes], bool]

# An address as proxies write it into X-Forwarded-For: alone, or with a port, IPv6 then in brackets.
_HOP: Final = re.compile(rb"([0-9.]++)(?::[0-9]{1,5})?|\[([0-9A-Fa-f:.]++)\](?::[0-9]{1,5})?|([0-9A-Fa-f:.]++)")
_PORT: Final = re.compile(rb"[1-9][0-9]{0,4}")
_PLAIN: Final = re.compile(rb"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")

# RFC 7239 4:  forwarded-element = [ forwarded-pair ] *( ";" [ forwarded-pair ] );  pair = token "=" ( token / quoted )
# Stricter: no empty pair or element, and no escapes inside of quotes.
_PAIR: Final = rb"(" + TCHAR + rb"++)=(?:(" + TCHAR + rb'++)|"([\t\x20\x21\x23-\x5b\x5d-\x7e]*+)")'
_FORWARDED_PAIR: Final = re.compile(_PAIR + rb"[\t ]*+([;,]|\Z)[\t ]*+")
# RFC 7239 6:  node = nodename [ ":" node-port ], where both may be made-up words that begin with "_".
_NODE: Final = re.compile(
    rb"(?:unknown|_[A-Za-z0-9._\-]++|([0-9.]++)|\[([0-9A-Fa-f:.]++)\])(?::(?:[0-9]{1,5}|_[A-Za-z0-9._\-]++))?"
)

_SCHEMES: Final = (b"http", b"https")
_WRITTEN: Final = frozenset((b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"))


def fields(head: RequestHead, down: Downstream) -> bytes:
    """The field lines that tell an instance where the request comes from: X-Forwarded-*, Forwarded."""
    own_host = head.fields.host_field
    owned = head.fields.owned
    if not (down.trusted and owned):
        lines = b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: http\r\n" % down.peer
        return lines + b"X-Forwarded-Host: %b\r\n" % own_host if own_host else lines
    hops = believed_hops(owned.get(b"x-forwarded-for", ()))
    proto = scheme(head, down)
    host = _one_of(owned, b"x-forwarded-host", is_host) or own_host
    lines = b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\n" % (b", ".join((*hops, down.peer)), proto)
    if host:
        lines += b"X-Forwarded-Host: %b\r\n" % host
    elements = parse_forwarded(owned.get(b"forwarded", ()))
    if elements and _agrees(elements[-1], owned, hops):
        lines += b"Forwarded: %b, %b\r\n" % (
            b", ".join(b";".join(b"%b=%b" % pair for pair in element.items()) for element in elements),
            _own_element(down.peer, own_host),
        )
    for name, values in owned.items():
        if name.startswith(b"x-forwarded-") and name not in _WRITTEN:
            check = _PORT if name == b"x-forwarded-port" else _PLAIN
            if len(values) == 1 and check.fullmatch(values[0]):
                lines += b"%b: %b\r\n" % (name.title(), values[0])
    return lines


def scheme(head: RequestHead, down: Downstream) -> bytes:
    """How the client asked: what a trusted proxy says, else http."""
    said = _one_of(head.fields.owned, b"x-forwarded-proto", is_scheme) if down.trusted else b""
    return said.lower() or b"http"


def client_address(head: RequestHead, down: Downstream, trusts: Trust) -> bytes:
    """The client's IP address: the peer's, or the first from the right that is not a trusted proxy's."""
    if not down.trusted:
        return down.peer
    client = down.peer
    for hop in reversed(believed_hops(head.fields.owned.get(b"x-forwarded-for", ()))):
        address = hop_address(hop)
        client = address.encode()
        if not trusts(address):
            break
    return client


def believed_hops(values: _Values) -> list[bytes]:
    """The addresses in X-Forwarded-For, as written, from the last malformed element on."""
    hops = [hop.strip(b" \t") for value in values for hop in value.split(b",")]
    for at in range(len(hops) - 1, -1, -1):
        if not hop_address(hops[at]):
            return hops[at + 1 :]
    return hops


def hop_address(hop: bytes) -> str:
    """The IP address in an element of X-Forwarded-For, in its canonical form; "" if there is none."""
    match = _HOP.fullmatch(hop)
    return _address(match[1], match[2] or match[3]) if match is not None else ""


def is_scheme(value: bytes) -> bool:
    """Is it one of the schemes that a request to the gateway can have had?"""
    return value.lower() in _SCHEMES


def is_host(value: bytes) -> bool:
    """Is it a host as in RFC 9110 7.2, with or without a port?"""
    match = HOST.fullmatch(value)  # a comma is part of a name by the grammar, but of a list by custom
    return match is not None and b"," not in value and (match[2] is None or _address(None, match[2]) != "")


def parse_forwarded(values: _Values) -> list[dict[bytes, bytes]]:
    """The elements of Forwarded (RFC 7239): lower-case names with values as written. Empty if anything is wrong."""
    text = b", ".join(values)
    elements: list[dict[bytes, bytes]] = [{}]
    at = 0
    end = b","
    while at < len(text) or end:
        match = _FORWARDED_PAIR.match(text, at)
        if match is None:
            return []
        name, token, quoted, end = match.groups()
        name = name.lower()
        value = quoted if token is None else token
        if name in elements[-1] or not _is_good_pair(name, value):
            return []
        elements[-1][name] = b'"%b"' % quoted if token is None else token
        if end == b",":
            elements.append({})
        at = match.end()
    return elements


def _is_good_pair(name: bytes, value: bytes) -> bool:
    if name in (b"for", b"by"):
        match = _NODE.fullmatch(value)
        return match is not None and (match[1] is match[2] is None or _address(match[1], match[2]) != "")
    if name == b"host":
        return is_host(value)
    return name != b"proto" or is_scheme(value)


def _agrees(element: Mapping[bytes, bytes], owned: Mapping[bytes, _Values], hops: _Values) -> bool:
    """Does the last element of Forwarded say what X-Forwarded-* says, where both say something?

    A proxy that writes X-Forwarded-* only may let a Forwarded of its client's through.
    """
    if b"x-forwarded-for" in owned:
        node = element.get(b"for", b"").strip(b'"')
        if not hops or hop_address(node) != hop_address(hops[-1]):
            return False
    for name, said in ((b"proto", b"x-forwarded-proto"), (b"host", b"x-forwarded-host")):
        value = element.get(name, b"").strip(b'"').lower()
        if value and said in owned and [each.lower() for each in owned[said]] != [value]:
            return False
    return True


def _own_element(peer: bytes, host: bytes) -> bytes:
    node = b'"[%b]"' % peer if b":" in peer else peer
    return b'for=%b;host="%b";proto=http' % (node, host) if host else b"for=%b;proto=http" % node


def _one_of(owned: Mapping[bytes, _Values], name: bytes, is_good: _Check) -> bytes:
    """The field's value if it has one that is good, else b""."""
    values = owned.get(name, ())
    return values[0] if len(values) == 1 and is_good(values[0]) else b""


def _address(v4: bytes | None, v6: bytes | None) -> str:
    try:
        return str(IPv4Address(v4.decode())) if v4 is not None else str(IPv6Address((v6 or b"").decode()))
    except AddressValueError:
        return ""
