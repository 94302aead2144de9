"""PROXY protocol: any bytes are a header, the beginning of one or a GatewayError, and stay so whatever follows."""

from __future__ import annotations

from ipaddress import ip_address

from gateway.errors import GatewayError
from gateway.h1.proxy_protocol import V2_BYTES, ProxyHeader, read_proxy_header


def one_input(data: bytes) -> None:
    known: object = None
    for length in range(len(data) + 1):
        header: ProxyHeader | None = None
        try:
            now: object = (header := read_proxy_header(data[:length]))
        except GatewayError as error:
            now = error.reason
        assert known is None or now == known, f"after {length} bytes {now} is not {known}"
        known = now
        if header is not None:
            assert 0 < header.length <= min(length, V2_BYTES)
            assert not header.source or str(ip_address(header.source)) == header.source
