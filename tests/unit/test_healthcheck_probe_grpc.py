"""gRPC probes against grpcio's own server and its own health service, and against what is no such thing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
import trustme
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from hypothesis import given, settings
from hypothesis import strategies as st

from discovery.settings import HealthSettings, ProbeType
from healthcheck.probe_grpc import GrpcQuestion, decode_response, encode_request
from tests.health_peers import OK, probe, saying, serving

SETTINGS = HealthSettings(type=ProbeType.GRPC, timeout=5.0)
Status = health_pb2.HealthCheckResponse


class Server:
    """A gRPC server on loopback; `health` is its health service."""

    def __init__(self, credentials: grpc.ServerCredentials | None = None, *, has_health: bool = True) -> None:
        self.health = health.HealthServicer()
        self.server = grpc.server(ThreadPoolExecutor(2))
        if has_health:
            health_pb2_grpc.add_HealthServicer_to_server(self.health, self.server)
        where = "127.0.0.1:0"
        add = self.server.add_secure_port if credentials else self.server.add_insecure_port
        self.address = f"127.0.0.1:{add(where, credentials) if credentials else add(where)}"  # type: ignore[call-arg]
        self.server.start()

    def close(self) -> None:
        self.server.stop(None).wait()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    made = Server()
    made.health.set("users.v1.Users", Status.SERVING)
    made.health.set("orders.v1.Orders", Status.NOT_SERVING)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("service", "ok", "detail"),
    [
        ("", True, r"SERVING in \d+ ms"),
        ("users.v1.Users", True, r"SERVING in \d+ ms"),
        ("orders.v1.Orders", False, r"NOT_SERVING in \d+ ms"),
        ("nobody", False, r"gRPC status 5 \(NOT_FOUND\) in \d+ ms"),
    ],
)
async def test_what_a_real_server_says(server: Server, service: str, ok: bool, detail: str) -> None:
    verdict = await probe(server.address, replace(SETTINGS, service=service))
    assert verdict.ok is ok
    assert re.fullmatch(detail, verdict.detail), verdict.detail


async def test_a_server_without_the_health_service() -> None:
    bare = Server(has_health=False)
    try:
        verdict = await probe(bare.address, SETTINGS)
    finally:
        bare.close()
    assert not verdict.ok
    assert re.fullmatch(r"gRPC status 12 \(UNIMPLEMENTED\) in \d+ ms: Method not found!", verdict.detail)


async def test_over_tls(tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    issued = ca.issue_cert("users.internal")
    pair = (issued.private_key_pem.bytes(), b"".join(each.bytes() for each in issued.cert_chain_pems))
    secured = Server(grpc.ssl_server_credentials([pair]))
    try:
        settings = replace(SETTINGS, tls=True, tls_ca_file=str(tmp_path / "ca.pem"), host="users.internal")
        verdict = await probe(secured.address, settings)
        assert verdict.ok, verdict.detail
    finally:
        secured.close()


async def test_peers_that_speak_no_grpc() -> None:
    async with serving(saying(OK)) as address:
        verdict = await probe(address, SETTINGS)
    assert (verdict.ok, verdict.detail) == (False, "not HTTP/2")
    async with serving(saying(b"")) as address:
        verdict = await probe(address, SETTINGS)
    assert (verdict.ok, verdict.detail) == (False, "closed without an answer")


@given(st.text(max_size=300))
@settings(deadline=None)
def test_the_request_is_what_protobuf_would_write(service: str) -> None:
    encoded = encode_request(service)
    assert encoded[:5] == b"\0" + (len(encoded) - 5).to_bytes(4, "big")
    assert encoded[5:] == health_pb2.HealthCheckRequest(service=service).SerializeToString()


@pytest.mark.parametrize("status", [0, 1, 2, 3])
def test_the_response_is_what_protobuf_writes(status: int) -> None:
    message = Status(status=status).SerializeToString()
    assert decode_response(b"\0" + len(message).to_bytes(4, "big") + message) == status


@pytest.mark.parametrize(
    "data", [b"", b"\0\0\0\0", b"\1\0\0\0\2\x08\x01", b"\0\0\0\0\2\x08", b"\0\0\0\0\2\x10\x01", b"\0\0\0\0\1\x08"]
)
def test_what_is_no_response(data: bytes) -> None:
    assert decode_response(data) is None


@given(st.binary(max_size=400))
@settings(deadline=None)
def test_any_bytes_leave_an_outcome_or_a_wait_and_nothing_else(data: bytes) -> None:
    conversation = GrpcQuestion("10.0.0.1:80", SETTINGS)()
    assert conversation.open().startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    conversation.receive(data + b"\0")
    if conversation.outcome is None:
        conversation.end()
    assert conversation.outcome is not None
    assert not conversation.outcome.ok
