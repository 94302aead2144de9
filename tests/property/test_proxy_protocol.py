"""PROXY protocol: any bytes are a header, the beginning of one, or an error, for good; what is said is read."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError, Reason
from gateway.h1.proxy_protocol import V1_BYTES, V2_BYTES, ProxyHeader, read_proxy_header

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"

v4 = st.ip_addresses(v=4)
v6 = st.ip_addresses(v=6)
ports = st.integers(0, 65535)
scraps = st.sampled_from(
    [
        *(b"PROXY ", b"TCP4 ", b"TCP6 ", b"UNKNOWN", b"1.2.3.4 ", b"::1 ", b"0 ", b"443", b"\r\n", b"\r", b"\n", b" "),
        *(SIGNATURE, b"\x21\x11\0\x0c", b"\x20\0\0\0", b"\x21\x21\0\x24", bytes(12), bytes(36), b"\xff"),
    ]
)
soup = st.one_of(st.binary(max_size=64), st.lists(scraps | st.binary(max_size=3), max_size=10).map(b"".join))


def outcome(data: bytes) -> ProxyHeader | Reason | None:
    try:
        return read_proxy_header(data)
    except GatewayError as error:
        return error.reason


@given(soup)
def test_any_bytes_have_one_outcome_and_keep_it_whatever_follows(data: bytes) -> None:
    known = None
    for length in range(len(data) + 1):
        now = outcome(data[:length])
        assert known is None or now == known
        assert now is None or isinstance(now, ProxyHeader) or now is Reason.BAD_PROXY_HEADER
        known = now
    if isinstance(known, ProxyHeader):
        assert 0 < known.length <= min(len(data), V2_BYTES)
        assert known.source == "" or str(ip_address(known.source)) == known.source


@given(st.binary(min_size=1, max_size=8))
def test_nothing_waits_for_ever(piece: bytes) -> None:
    filler = piece * V2_BYTES
    for start in (b"", b"PROXY TCP4 ", b"PROXY UNKNOWN ", SIGNATURE):
        assert outcome(start + filler) is not None
    assert (
        outcome(b"PROXY " + filler.replace(b"\n", b"")[: V1_BYTES - 6].ljust(V1_BYTES - 6)) is Reason.BAD_PROXY_HEADER
    )


@given(st.data(), ports, ports, st.binary(max_size=40), st.binary(max_size=40))
def test_what_is_said_is_read(data: st.DataObject, source_port: int, port: int, vectors: bytes, rest: bytes) -> None:
    family = data.draw(st.sampled_from([v4, v6]))
    source, destination = data.draw(family), data.draw(family)
    said = str(getattr(source, "ipv4_mapped", None) or source)
    line = f"PROXY TCP{source.version} {source} {destination} {source_port} {port}\r\n".encode()
    assert read_proxy_header(line + rest) == ProxyHeader(said, len(line))
    body = source.packed + destination.packed + source_port.to_bytes(2, "big") + port.to_bytes(2, "big") + vectors
    binary = SIGNATURE + b"\x21" + bytes((0x11 if source.version == 4 else 0x21,)) + len(body).to_bytes(2, "big") + body
    assert read_proxy_header(binary + rest) == ProxyHeader(said, len(binary))
