"""The resolver against a real DNS server, and hosts files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from discovery.dns_sd import resolver as resolver_module
from discovery.dns_sd.resolver import Found, LookupFailed, Resolver, SrvRecord, read_hosts
from discovery.settings import DnsSettings
from tests.dns_server import DnsServer


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with DnsServer() as dns:
        yield dns


@pytest.fixture
def resolver(server: DnsServer, tmp_path: Path) -> Resolver:
    (tmp_path / "hosts").write_text("10.9.9.9 listed other # comment\nfe80::1%lo scoped\nnonsense\n::1 Listed.\n")
    return Resolver(DnsSettings(server.address, min_ttl=2.0, max_ttl=20.0), hosts=tmp_path / "hosts")


async def test_all_addresses_of_a_name_live_as_long_as_the_shortest(server: DnsServer, resolver: Resolver) -> None:
    server.set("web.test", "A", "10.0.0.2", "10.0.0.1", ttl=15)
    found = await resolver.addresses("web.test")
    assert (set(found.values), found.ttl) == ({"10.0.0.2", "10.0.0.1"}, 15.0)
    server.set("web.test", "AAAA", "fd00::1", ttl=7)
    found = await resolver.addresses("Web.Test.")
    assert (set(found.values), found.values[-1], found.ttl) == ({"10.0.0.2", "10.0.0.1", "fd00::1"}, "fd00::1", 7.0)
    server.set("web.test", "A", "10.0.0.1", ttl=0)
    assert (await resolver.addresses("web.test")).ttl == 2.0
    server.remove("web.test")
    server.set("web.test", "A", "10.0.0.1", ttl=3600)
    assert (await resolver.addresses("web.test")).ttl == 20.0


async def test_nothing_is_an_answer_and_a_failure_is_none(server: DnsServer, resolver: Resolver) -> None:
    assert await resolver.addresses("none.test") == Found((), 5.0)
    server.set("text.test", "TXT", '"x"')
    assert await resolver.addresses("text.test") == Found((), 5.0)
    assert await resolver.services("_x._tcp.test") == Found((), 5.0)
    server.mode = "servfail"
    with pytest.raises(LookupFailed, match="SERVFAIL"):
        await resolver.addresses("web.test")
    with pytest.raises(LookupFailed, match="SERVFAIL"):
        await resolver.services("_x._tcp.test")


async def test_silence_is_a_failure(server: DnsServer, resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "LIFETIME", 0.2)
    server.mode = "silent"
    with pytest.raises(LookupFailed, match=r"no answer from 127\.0\.0\.1 within 0\.2 s"):
        await resolver.addresses("web.test")


async def test_of_srv_records_the_best_priority_counts_with_port_and_weight(
    server: DnsServer, resolver: Resolver
) -> None:
    server.set("_x._tcp.test", "SRV", "2 1 1 c.test.", "1 5 8080 a.test.", "1 0 8081 b.test.", ttl=3)
    found = await resolver.services("_x._tcp.test")
    assert set(found.values) == {SrvRecord("a.test", 8080, 5), SrvRecord("b.test", 8081, 1)}
    assert found.ttl == 3.0
    server.set("_x._tcp.test", "SRV", "0 0 0 .", ttl=3)  # RFC 2782: decidedly not available
    assert (await resolver.services("_x._tcp.test")).values == ()


async def test_the_hosts_file_comes_first_and_is_read_again(
    server: DnsServer, resolver: Resolver, tmp_path: Path
) -> None:
    server.set("listed", "A", "10.0.0.1")
    assert (await resolver.addresses("listed")).values == ("10.9.9.9", "::1")
    assert (await resolver.addresses("other")).values == ("10.9.9.9",)
    assert (await resolver.addresses("localhost")).values == ("127.0.0.1", "::1")
    assert (await resolver.addresses("x.localhost")).values == ("127.0.0.1", "::1")
    assert server.questions == []
    (tmp_path / "hosts").write_text("10.8.8.8 listed\n")
    assert (await resolver.addresses("listed")).values == ("10.8.8.8",)
    (tmp_path / "hosts").unlink()
    assert (await resolver.addresses("listed")).values == ("10.0.0.1",)


async def test_without_a_server_the_systems_are_asked(server: DnsServer, tmp_path: Path) -> None:
    (tmp_path / "hosts").touch()
    conf = tmp_path / "resolv.conf"
    resolver = Resolver(DnsSettings(), hosts=tmp_path / "hosts", resolv_conf=conf)
    with pytest.raises(LookupFailed, match="no usable"):
        await resolver.addresses("web.test")
    conf.write_text("search test\n")
    with pytest.raises(LookupFailed, match="no usable"):
        await resolver.addresses("web.test")


def test_the_hosts_of_this_machine_have_localhost() -> None:
    assert "127.0.0.1" in read_hosts(Path("/etc/hosts"))["localhost"]
