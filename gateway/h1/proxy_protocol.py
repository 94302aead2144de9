"""The PROXY protocol, versions 1 and 2: who is really at the other end of a connection.

A proxy that relays bytes writes one header in front of them with the addresses it saw. Rules, from
HAProxy's proxy-protocol.txt (sections 2, 2.1 and 2.2): on a listener that expects the header it must be
there, nothing is guessed; what does not match exactly ends the connection; LOCAL and UNKNOWN, and
families without an IP address, mean that the connection's own peer is to be used. Type-length-value
vectors behind the addresses are skipped: the header's length field says where it ends.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, NamedTuple

from gateway.errors import GatewayError, Reason

V1_BYTES: Final = 107  # section 2.1: the longest line there is, its CRLF included
V2_BYTES: Final = 4096  # of a whole binary header; addresses take at most 232, the rest are vectors

_V1_START: Final = b"PROXY "
# Section 2.1: TCP4 or TCP6, two addresses, two ports, each behind exactly one space; a number has no leading zeros.
_PORT: Final = rb"(?:0|[1-9][0-9]{0,3}+|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_V1_LINE: Final = re.compile(
    rb"PROXY TCP([46]) ([0-9A-Fa-f:.]++) ([0-9A-Fa-f:.]++) " + _PORT + rb" " + _PORT + rb"\r\n"
)
_V1_UNKNOWN: Final = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*+)?\r\n")

_V2_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_V2_HEADER: Final = 16  # signature, version and command, family and transport, length of the rest
_LOCAL: Final = 0x20
_PROXY: Final = 0x21
_TCP4: Final = 0x11
_TCP6: Final = 0x21
# Bytes of addresses by family: unspecified, IPv4, IPv6, Unix.
_ADDRESS_BYTES: Final = (0, 12, 36, 216)
_TRANSPORTS: Final = 3  # unspecified, stream, datagram


class ProxyHeader(NamedTuple):
    """What a PROXY protocol header says."""

    source: str  # the client's IP address in its canonical form; "" for the connection's own peer
    length: int  # bytes of the header; what follows is the client's


def read_proxy_header(data: bytes) -> ProxyHeader | None:
    """The header that `data` begins with; None while it is not whole.

    Raises GatewayError(BAD_PROXY_HEADER) as soon as no header can become of it.
    """
    if data.startswith(_V2_SIGNATURE):
        return _read_v2(data)
    if data.startswith(_V1_START):
        return _read_v1(data)
    if _V2_SIGNATURE.startswith(data) or _V1_START.startswith(data):
        return None
    raise _error("the connection does not begin with a PROXY protocol header")


def _read_v1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\n", 0, V1_BYTES) + 1
    if not end:
        if len(data) >= V1_BYTES:
            raise _error(f"a version 1 line is longer than {V1_BYTES} bytes")
        return None
    line = data[:end]
    match = _V1_LINE.fullmatch(line)
    if match is None:
        if _V1_UNKNOWN.fullmatch(line) is None:
            raise _error("a malformed version 1 line")
        return ProxyHeader("", end)
    version, source, destination = match.groups()
    address = IPv4Address if version == b"4" else IPv6Address
    try:
        address(destination.decode())
        return ProxyHeader(_canonical(address(source.decode())), end)
    except AddressValueError:
        raise _error("a malformed address in a version 1 line") from None


def _read_v2(data: bytes) -> ProxyHeader | None:
    if len(data) < _V2_HEADER:
        return None
    command, family = data[12], data[13]
    end = _V2_HEADER + int.from_bytes(data[14:16], "big")
    if command not in (_LOCAL, _PROXY):
        raise _error(f"version and command {command:#04x} of a version 2 header")
    if end > V2_BYTES:
        raise _error(f"a version 2 header of {end} bytes, over {V2_BYTES}")
    if command == _PROXY:
        if family >> 4 >= len(_ADDRESS_BYTES) or family & 15 >= _TRANSPORTS:
            raise _error(f"family and transport {family:#04x} of a version 2 header")
        if end < _V2_HEADER + _ADDRESS_BYTES[family >> 4]:
            raise _error("a version 2 header too short for its addresses")
    if len(data) < end:
        return None
    if command == _PROXY and family == _TCP4:
        return ProxyHeader(str(IPv4Address(data[16:20])), end)
    if command == _PROXY and family == _TCP6:
        return ProxyHeader(_canonical(IPv6Address(data[16:32])), end)
    return ProxyHeader("", end)


def _canonical(address: IPv4Address | IPv6Address) -> str:
    """An IPv4 address that a socket for both families calls ::ffff:a.b.c.d is known as what it is."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def _error(detail: str) -> GatewayError:
    return GatewayError(Reason.BAD_PROXY_HEADER, detail)
