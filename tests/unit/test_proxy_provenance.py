"""What trusted proxies say is continued once it has been checked; what anybody else says is not passed on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.proxy import provenance
from tests.proxy_harness import PEER, SETTINGS, World
from tests.proxy_messages import Message, get, parse

TRUSTING = replace(SETTINGS, trusted_proxies=("10.0.0.0/8", "2001:db8::/32"))
PROXY = "10.0.0.1"


def forwarded(*lines: bytes, peer: str = PROXY) -> Message:
    with World(settings=TRUSTING) as world:
        world.client(get(b"/", *lines), peer=peer)
        return parse(world.upstream.take())


ALL = (
    b"X-Forwarded-For: 203.0.113.9",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Host: shop.example",
    b"X-Forwarded-Port: 443",
    b"X-Forwarded-Prefix: /shop",
    b"X-Forwarded-Ssl: on",
    b"Forwarded: for=203.0.113.9;proto=https",
    b"X-Real-IP: 203.0.113.9",
)


def test_of_a_stranger_nothing_is_passed_on() -> None:
    request = forwarded(*ALL, b"X_Forwarded_Prefix: /a", b"X-Forwarded_Prefix: /b", peer=PEER)
    written = {name.lower(): value for name, value in request.fields if b"orward" in name or b"eal" in name}
    assert written == {
        b"x-forwarded-for": PEER.encode(),
        b"x-forwarded-proto": b"http",
        b"x-forwarded-host": b"api.example",
    }


def test_a_trusted_proxy_is_continued() -> None:
    request = forwarded(*ALL)
    assert request[b"X-Forwarded-For"] == b"203.0.113.9, 10.0.0.1"
    assert request[b"X-Forwarded-Proto"] == b"https"
    assert request[b"X-Forwarded-Host"] == b"shop.example"
    assert request[b"X-Forwarded-Port"] == b"443"
    assert request[b"X-Forwarded-Prefix"] == b"/shop"
    assert request[b"X-Forwarded-Ssl"] == b"on"
    assert request[b"Forwarded"] == b'for=203.0.113.9;proto=https, for=10.0.0.1;host="api.example";proto=http'
    assert b"X-Real-IP" not in request


def test_nothing_said_is_nothing_continued() -> None:
    request = forwarded()
    assert request[b"X-Forwarded-For"] == PROXY.encode()
    assert request[b"X-Forwarded-Proto"] == b"http"
    assert request[b"X-Forwarded-Host"] == b"api.example"
    assert b"Forwarded" not in request


@pytest.mark.parametrize(
    ("said", "passed_on"),
    [
        ((b"1.2.3.4, 5.6.7.8",), b"1.2.3.4, 5.6.7.8"),
        ((b"1.2.3.4", b"5.6.7.8"), b"1.2.3.4, 5.6.7.8"),
        ((b"1.2.3.4:5678",), b"1.2.3.4:5678"),
        ((b"2001:db8::5, [2001:db8::6]:443",), b"2001:db8::5, [2001:db8::6]:443"),
        ((b"<script>, 1.2.3.4",), b"1.2.3.4"),
        ((b"6.6.6.6, unknown, 1.2.3.4",), b"1.2.3.4"),
        ((b"1.2.3.4,",), None),
        ((b"",), None),
        ((b"1.2.3.4, 1.2.3.400",), None),
        ((b"1.2.3.4, 1.2.3.4 5.6.7.8",), None),
        ((b'1.2.3.4, "',), None),
        ((b"1.2.3.4, fe80::1%eth0",), None),
    ],
)
def test_hops_are_believed_from_the_right_up_to_what_is_none(said: tuple[bytes, ...], passed_on: bytes | None) -> None:
    request = forwarded(*(b"X-Forwarded-For: " + each for each in said))
    assert request[b"X-Forwarded-For"] == (passed_on + b", 10.0.0.1" if passed_on else b"10.0.0.1")


@pytest.mark.parametrize(
    ("said", "passed_on"),
    [
        ((b"HTTPS",), b"https"),
        ((b"http",), b"http"),
        ((b"ftp",), b"http"),
        ((b"https, http",), b"http"),
        ((b"https", b"https"), b"http"),
        ((b"",), b"http"),
        ((b"https\t;x",), b"http"),
    ],
)
def test_the_scheme_is_one_of_two_or_our_own(said: tuple[bytes, ...], passed_on: bytes) -> None:
    assert forwarded(*(b"X-Forwarded-Proto: " + each for each in said))[b"X-Forwarded-Proto"] == passed_on


@pytest.mark.parametrize(
    "said", [b"a b", b"a/b", b"user@a", b"[::g]", b"[1]", b"a:99999", b"a, b", b"a,b", b"", b"a\xff"]
)
def test_a_host_that_is_none_is_replaced(said: bytes) -> None:
    assert forwarded(b"X-Forwarded-Host: " + said)[b"X-Forwarded-Host"] == b"api.example"


@pytest.mark.parametrize("said", [b"Shop.example:8443", b"[2001:db8::1]:80", b"192.0.2.1", b"a_b.example"])
def test_a_host_is_passed_on_as_written(said: bytes) -> None:
    assert forwarded(b"X-Forwarded-Host: " + said)[b"X-Forwarded-Host"] == said


@pytest.mark.parametrize("line", [b"X-Forwarded-Port: 0", b"X-Forwarded-Port: 1x", b"X-Forwarded-Prefix: \xff"])
def test_other_fields_that_are_malformed_are_dropped(line: bytes) -> None:
    assert line.partition(b":")[0] not in forwarded(line)
    good = b"X-Forwarded-Prefix: /a"
    assert b"X-Forwarded-Prefix" not in forwarded(good, good)


@pytest.mark.parametrize(
    ("said", "passed_on"),
    [
        (b"for=192.0.2.60", b"for=192.0.2.60"),
        (b'For="[2001:DB8:cafe::17]:4711"', b'for="[2001:DB8:cafe::17]:4711"'),
        (b"for=192.0.2.60; proto=http ;by=203.0.113.43", b"for=192.0.2.60;proto=http;by=203.0.113.43"),
        (b"for=unknown, for=_hidden, for=_SEVKISEK", b"for=unknown, for=_hidden, for=_SEVKISEK"),
        (b'for=192.0.2.43,for="[2001:db8:cafe::17]";secret=x', b'for=192.0.2.43, for="[2001:db8:cafe::17]";secret=x'),
        (b'for=1.2.3.4;host="a.example:80"', b'for=1.2.3.4;host="a.example:80"'),
        *(
            (each, None)
            for each in (
                b"",
                b"for",
                b"for=",
                b"for=1.2.3.4,",
                b"for=1.2.3.4;",
                b",for=1.2.3.4",
                b"for=1.2.3.4;for=5.6.7.8",
                b"for=1.2.3.400",
                b"for=2001:db8::1",
                b'for="2001:db8::1"',
                b'for="[2001:db8::g]"',
                b'for="1.2.3.4',
                b'for="1.2.3.4"x',
                b"for=1.2.3.4 proto=http",
                b"for=1.2.3.4;proto=javascript",
                b'for=1.2.3.4;host="a b"',
                b'for=1.2.3.4;x="a\\"b"',
                b"for = 1.2.3.4",
            )
        ),
    ],
)
def test_forwarded_is_continued_only_if_all_of_it_is_well_formed(said: bytes, passed_on: bytes | None) -> None:
    request = forwarded(b"Forwarded: " + said)
    if passed_on is None:
        assert b"Forwarded" not in request
    else:
        assert request[b"Forwarded"] == passed_on + b', for=10.0.0.1;host="api.example";proto=http'


@pytest.mark.parametrize(
    ("said", "is_passed_on"),
    [
        (b"for=6.6.6.6, for=203.0.113.9", True),
        (b"for=6.6.6.6", False),
        (b"proto=https", False),
        (b"for=203.0.113.9;proto=http", False),
        (b"for=203.0.113.9;host=evil.example", False),
        (b'for="203.0.113.9:1234";host=SHOP.example;proto=https', True),
    ],
)
def test_forwarded_that_contradicts_x_forwarded_is_the_client_s_own_and_dropped(
    said: bytes, is_passed_on: bool
) -> None:
    assert (b"Forwarded" in forwarded(*ALL[:3], b"Forwarded: " + said)) is is_passed_on


def test_the_own_element_of_an_ipv6_proxy_is_quoted() -> None:
    request = forwarded(b"Forwarded: for=1.2.3.4", peer="2001:db8::1")
    assert request[b"Forwarded"] == b'for=1.2.3.4, for="[2001:db8::1]";host="api.example";proto=http'
    assert request[b"X-Forwarded-For"] == b"2001:db8::1"


@pytest.mark.parametrize(
    ("hop", "address"),
    [
        (b"1.2.3.4", "1.2.3.4"),
        (b"1.2.3.4:80", "1.2.3.4"),
        (b"2001:DB8::1", "2001:db8::1"),
        (b"[2001:db8::1]", "2001:db8::1"),
        (b"[2001:db8::1]:80", "2001:db8::1"),
        (b"1.2.3", ""),
        (b"01.2.3.4", ""),
        (b"[1.2.3.4]", ""),
        (b"host", ""),
        (b"", ""),
    ],
)
def test_an_address_has_one_form(hop: bytes, address: str) -> None:
    assert provenance.hop_address(hop) == address
