"""The PROXY protocol's header: the specification's own limits and examples, and everything that is not it."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from gateway.errors import GatewayError, Reason
from gateway.h1.proxy_protocol import V2_BYTES, ProxyHeader, read_proxy_header

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
REST = b"GET / HTTP/1.1\r\n"


def v2(command: int, family: int, rest: bytes, length: int | None = None) -> bytes:
    return SIGNATURE + bytes((command, family)) + (len(rest) if length is None else length).to_bytes(2, "big") + rest


def addresses(source: str, destination: str) -> bytes:
    packed = b"".join(ip_address(each).packed for each in (source, destination))
    return packed + (56324).to_bytes(2, "big") + (443).to_bytes(2, "big")


TCP4 = addresses("192.0.2.1", "192.0.2.9")
TCP6 = addresses("2001:db8::1", "2001:db8::9")
MAPPED = addresses("::ffff:192.0.2.1", "::1")

ACCEPTED = [
    (b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", "192.168.0.1"),
    (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255"),
    (b"PROXY TCP4 1.2.3.4 5.6.7.8 0 0\r\n", "1.2.3.4"),
    (b"PROXY TCP6 2001:DB8::0001 ::1 1 2\r\n", "2001:db8::1"),
    (b"PROXY TCP6 " + b" ".join([b":".join([b"ffff"] * 8)] * 2) + b" 65535 65535\r\n", "ffff:" * 7 + "ffff"),
    (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", "192.0.2.1"),
    (b"PROXY UNKNOWN\r\n", ""),
    (b"PROXY UNKNOWN whatever \xff\r\n", ""),
    (b"PROXY UNKNOWN " + b" ".join([b":".join([b"ffff"] * 8)] * 2) + b" 65535 65535\r\n", ""),
    (v2(0x21, 0x11, TCP4), "192.0.2.1"),
    (v2(0x21, 0x21, TCP6), "2001:db8::1"),
    (v2(0x21, 0x21, MAPPED), "192.0.2.1"),
    (v2(0x21, 0x11, TCP4 + b"\x04\0\x03abc"), "192.0.2.1"),  # a vector: skipped
    (v2(0x21, 0x11, TCP4 + b"\x04\xff\xff"), "192.0.2.1"),  # one that is malformed too: the length says where it ends
    (v2(0x21, 0x11, TCP4 + b"\xee" * (V2_BYTES - 16 - 12)), "192.0.2.1"),
    (v2(0x21, 0x12, TCP4), ""),  # UDP
    (v2(0x21, 0x31, bytes(216)), ""),  # a Unix socket has no address
    (v2(0x21, 0x00, b""), ""),
    (v2(0x21, 0x00, b"ignored"), ""),
    (v2(0x20, 0x11, TCP4), ""),  # LOCAL: the addresses are not to be used
    (v2(0x20, 0x00, b""), ""),
    (v2(0x20, 0xFF, b"abc"), ""),  # nor is the family
]

REFUSED = [
    *(b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", b"proxy TCP4", b"PROXY\t", b"PROXY\r\n", b"\n", b"\r\n\r\nGET"),
    b"PROXY \r\n",
    b"PROXY TCP4\r\n",
    b"PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n",
    b"PROXY UNKNOWNS\r\n",
    b"PROXY UNKNOWN a\rb\r\n",
    b"PROXY unknown\r\n",
    b"PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
    b"PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\rx\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n",
    b"PROXY TCP4 1.2.3.04 5.6.7.8 1 2\r\n",
    b"PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n",
    b"PROXY TCP4 1.2.3.4 5.6.7 1 2\r\n",
    b"PROXY TCP4 ::1 ::1 1 2\r\n",
    b"PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
    b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
    b"PROXY TCP6 1::2::3 ::1 1 2\r\n",
    b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",  # 108 bytes
    b"PROXY TCP4 " + b"1" * 107,
    v2(0x11, 0x11, TCP4),  # version 1 in binary
    v2(0x22, 0x11, TCP4),
    v2(0x21, 0x41, TCP4),
    v2(0x21, 0x13, TCP4),
    v2(0x21, 0x11, TCP4[:-1]),
    v2(0x21, 0x21, TCP6[:-1]),
    v2(0x21, 0x31, bytes(215)),
    v2(0x21, 0x11, b"", V2_BYTES - 15),
    v2(0x20, 0x00, b"", 0xFFFF),
    SIGNATURE[:-1] + b"\r" + bytes(20),
]


@pytest.mark.parametrize(("data", "source"), ACCEPTED)
def test_a_header_is_read_once_it_is_whole(data: bytes, source: str) -> None:
    assert read_proxy_header(data) == ProxyHeader(source, len(data))
    assert read_proxy_header(data + REST) == ProxyHeader(source, len(data))
    for length in range(len(data)):
        assert read_proxy_header(data[:length]) is None


@pytest.mark.parametrize("data", REFUSED)
def test_anything_else_is_refused_as_soon_as_it_shows(data: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        read_proxy_header(data + REST)
    assert caught.value.reason is Reason.BAD_PROXY_HEADER
