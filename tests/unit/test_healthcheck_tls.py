"""Probes over TLS: certificates that hold, that do not, and peers that speak no TLS."""

from __future__ import annotations

import re
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trustme

from discovery.settings import HealthSettings, ProbeType
from tests.health_peers import OK, probe, saying, serving

SETTINGS = HealthSettings(tls=True, timeout=5.0)


class Authority:
    """A certificate authority, its file, and servers' contexts."""

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self.file = str(folder / "ca.pem")
        self._ca.cert_pem.write_to_path(self.file)

    def context(self, *names: str) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._ca.issue_cert(*names).configure_cert(context)
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


async def test_a_valid_certificate(authority: Authority) -> None:
    heard: list[bytes] = []
    async with serving(saying(OK, heard), context=authority.context("users.internal")) as address:
        settings = replace(SETTINGS, tls_ca_file=authority.file, host="users.internal:443")
        verdict = await probe(address, settings)
    assert verdict.ok, verdict.detail
    assert re.fullmatch(r"200 in \d+ ms", verdict.detail)
    assert b"Host: users.internal:443\r\n" in heard[0]


async def test_without_a_host_the_address_must_be_on_it(authority: Authority) -> None:
    settings = replace(SETTINGS, tls_ca_file=authority.file)
    async with serving(saying(OK), context=authority.context("127.0.0.1")) as address:
        assert (await probe(address, settings)).ok
    async with serving(saying(OK), context=authority.context("users.internal")) as address:
        verdict = await probe(address, settings)
    assert not verdict.ok
    assert re.match("certificate not accepted: IP address mismatch", verdict.detail), verdict.detail


async def test_an_unknown_authority_is_refused_and_taken_only_unverified(authority: Authority) -> None:
    async with serving(saying(OK), context=authority.context("127.0.0.1")) as address:
        verdict = await probe(address, SETTINGS)
        assert not verdict.ok
        assert verdict.detail.startswith("certificate not accepted: unable to get local issuer certificate")
        assert (await probe(address, replace(SETTINGS, tls_verify=False))).ok


async def test_a_certificate_of_another_name(authority: Authority) -> None:
    async with serving(saying(OK), context=authority.context("other.internal")) as address:
        verdict = await probe(address, replace(SETTINGS, tls_ca_file=authority.file, host="users.internal"))
    assert (verdict.ok, verdict.detail) == (
        False,
        "certificate not accepted: Hostname mismatch, certificate is not valid for 'users.internal'",
    )


async def test_a_long_body_in_many_records(authority: Authority) -> None:
    body = b"x" * 60_000 + b"end"
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    async with serving(saying(answer), context=authority.context("127.0.0.1")) as address:
        assert (await probe(address, replace(SETTINGS, tls_verify=False, body_contains="end"))).ok


async def test_an_answer_that_ends_with_the_connection(authority: Authority) -> None:
    async with serving(saying(b"HTTP/1.1 200 OK\r\n\r\nto the end"), context=authority.context("a")) as address:
        assert (await probe(address, replace(SETTINGS, tls_verify=False, body_contains="the end"))).ok
    async with serving(saying(b""), context=authority.context("a")) as address:
        verdict = await probe(address, replace(SETTINGS, tls_verify=False))
    assert verdict.detail == "closed without an answer"


async def test_tcp_means_the_whole_handshake_on_both_sides(authority: Authority) -> None:
    heard: list[bytes] = []
    is_over = trio.Event()

    async def note(stream: trio.abc.Stream) -> None:
        heard.append(bytes(await stream.receive_some()))
        is_over.set()

    settings = replace(SETTINGS, type=ProbeType.TCP, tls_verify=False, send="hello")
    async with serving(note, context=authority.context("a")) as address:
        verdict = await probe(address, settings)
        with trio.fail_after(5):
            await is_over.wait()
    assert re.fullmatch(r"connected in \d+ ms", verdict.detail)
    assert heard == [b"hello"]


@pytest.mark.parametrize("host", ["[::1]", "[::1]:443"])
async def test_a_host_may_be_an_ipv6_address(authority: Authority, host: str) -> None:
    async with serving(saying(OK), context=authority.context("::1")) as address:
        assert (await probe(address, replace(SETTINGS, tls_ca_file=authority.file, host=host))).ok


async def test_a_peer_without_tls() -> None:
    async def plain(stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async def closing(stream: trio.abc.Stream) -> None:
        await stream.receive_some()

    async with serving(plain) as address:
        verdict = await probe(address, SETTINGS)
    assert not verdict.ok
    assert verdict.detail.startswith("TLS failed: "), verdict.detail
    async with serving(closing) as address:
        verdict = await probe(address, SETTINGS)
    assert verdict.detail == "closed during the TLS handshake"


async def test_a_missing_authority_is_said_and_looked_for_again(authority: Authority, tmp_path: Path) -> None:
    missing = tmp_path / "later.pem"
    settings = replace(SETTINGS, tls_ca_file=str(missing))
    async with serving(saying(OK), context=authority.context("127.0.0.1")) as address:
        verdict = await probe(address, settings)
        assert (verdict.ok, verdict.detail) == (False, f"tls_ca_file {missing}: No such file or directory")
        missing.write_bytes(Path(authority.file).read_bytes())
        assert (await probe(address, settings)).ok
