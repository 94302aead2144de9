"""The bytes of a snapshot: fixed for a codec version, encoded and decoded by part."""

from __future__ import annotations

import struct
from dataclasses import replace
from itertools import pairwise

import pytest

from discovery.model import Handling, Share
from gateway.shm.layout import INSTANCE_CELLS, ROUTE_CELLS
from gateway.snapshot.codec import CodecError, Decoder, Encoder
from gateway.snapshot.model import InstanceRecord, RouteRecord, ServiceRecord, Snapshot, Standby, WorkerSettings

SETTINGS = WorkerSettings(
    name="edge",
    server_header=True,
    trusted_proxies=("10.0.0.0/8",),
    proxy_protocol=False,
    header_bytes=65536,
    headers=100,
    body_bytes=0,
    header_timeout=10.0,
    idle_timeout=75.0,
    connections=10000,
    in_flight=0,
    access_log="stdout",
    access_format="json",
    access_fields=("time", "status"),
    drain_timeout=30.0,
    ready=True,
    traces=False,
    trace_sample=1.0,
    trace_b3=False,
)
ROUTE = RouteRecord(
    cell=1,
    path="/users/*",
    host="",
    methods=("GET",),
    service="users",
    strip_path=False,
    timeout=30.0,
    per_try_timeout=0.0,
    stream_idle_timeout=60.0,
    retry_count=3,
    headers=(("X-A", "1"),),
)
SHARED = replace(
    ROUTE,
    cell=2,
    path="/text**",
    headers=(),
    handling=Handling("/a", "/b", "dst", 301, "https://example.com$path", ("10.0.0.0/8",), ("fe80::/10",)),
    share=Share(0.25, ("db.example:8080",)),
)
REFUSED = replace(ROUTE, cell=0, path="/closed", headers=(), is_refused=True)
INSTANCE = InstanceRecord(
    cell=258, host="10.0.0.1", port=8080, weight=1.5, eligible=False, standby=Standby.UNHEALTHY
)  # fmt: skip
SERVICE = ServiceRecord(
    name="users",
    version=3,
    balance="least_connections",
    hash_on="client_ip",
    connect_timeout=4.0,
    max_in_flight=0,
    keepalive_idle=30.0,
    consecutive_failures=5,
    eject_time=30.0,
    max_ejected_percent=50,
    instances=(INSTANCE,),
)
SNAPSHOT = Snapshot(
    generation=7,
    accepted_ns=1_000_000,
    settings_version=1,
    settings=SETTINGS,
    routes_version=2,
    routes=(ROUTE,),
    services=(SERVICE,),
)

SETTINGS_BLOCK = (
    b'["edge",true,["10.0.0.0/8"],false,65536,100,0,10.0,75.0,10000,0,"stdout","json",["time","status"],30.0,true,'
    b"false,1.0,false]"
)
ROUTES_BLOCK = b'[[1,"/users/*","",["GET"],"users",false,30.0,0.0,60.0,3,[["X-A","1"]],[],[],false,1.0]]'
SERVICE_BLOCK = (
    b"\x46\0\0\0"
    b'["least_connections","client_ip",4.0,0,30.0,5,30.0,50,["10.0.0.1"],[]]'
    b"\x02\x01\0\0" + b"\x90\x1f" + b"\0" + b"\x02" + b"\0\0\0\0\0\0\xf8\x3f"
)
NAMES = b'["","","users"]'


def word(value: int) -> bytes:
    return value.to_bytes(8, "little")


def golden() -> bytes:
    start = 32 + 3 * 32 + len(NAMES)
    directory = b""
    for kind, version, block in ((1, 1, SETTINGS_BLOCK), (2, 2, ROUTES_BLOCK), (3, 3, SERVICE_BLOCK)):
        directory += word(kind) + word(version) + word(start) + word(len(block))
        start += len(block)
    header = b"gwsn" + b"\x06\0\0\0" + b"\x03\0\0\0" + b"\x0f\0\0\0" + word(7) + word(1_000_000)
    return header + directory + NAMES + SETTINGS_BLOCK + ROUTES_BLOCK + SERVICE_BLOCK


def test_the_bytes_of_codec_version_6() -> None:
    """A change here needs a new CODEC_VERSION."""
    assert Encoder().encode(SNAPSHOT) == golden()
    assert Decoder().decode(golden()) == SNAPSHOT


def test_everything_a_tag_can_ask_for_arrives() -> None:
    named = replace(INSTANCE, name="db.example")
    service = replace(SERVICE, instances=(named, INSTANCE))
    snapshot = replace(SNAPSHOT, routes=(ROUTE, SHARED, REFUSED), services=(service,))
    assert Decoder().decode(Encoder().encode(snapshot)) == snapshot


def many(count: int) -> Snapshot:
    services = tuple(replace(SERVICE, name=f"s{n}", version=1) for n in range(count))
    return replace(SNAPSHOT, services=services)


def test_unchanged_parts_are_the_same_objects() -> None:
    encoder, decoder = Encoder(), Decoder()
    first = decoder.decode(encoder.encode(many(3)))
    a, b, c = many(3).services
    changed = replace(many(3), generation=8, services=(a, replace(b, version=2, balance="random"), c))
    second = decoder.decode(encoder.encode(changed))
    assert second == changed
    assert second.settings is first.settings
    assert second.routes is first.routes
    assert [new is old for new, old in zip(second.services, first.services, strict=True)] == [True, False, True]


def test_settings_and_routes_follow_their_own_versions() -> None:
    encoder, decoder = Encoder(), Decoder()
    first = decoder.decode(encoder.encode(SNAPSHOT))
    drained = replace(SNAPSHOT, generation=8, settings_version=2, settings=replace(SETTINGS, ready=False))
    second = decoder.decode(encoder.encode(drained))
    assert second == drained
    assert second.routes is first.routes
    assert second.services[0] is first.services[0]
    rerouted = replace(drained, generation=9, routes_version=3, routes=())
    third = decoder.decode(encoder.encode(rerouted))
    assert third == rerouted
    assert third.settings is second.settings


def test_services_come_go_and_move() -> None:
    encoder, decoder = Encoder(), Decoder()
    a, b, c = many(3).services
    orders = ((a, b, c), (c, a), (), (b,), (c, b, a))
    for generation, services in enumerate(orders, 1):
        snapshot = replace(SNAPSHOT, generation=generation, services=services)
        assert decoder.decode(encoder.encode(snapshot)) == snapshot


def test_a_fresh_worker_reads_what_a_long_lived_encoder_writes() -> None:
    encoder = Encoder()
    for old, new in pairwise(many(n) for n in range(4)):
        encoder.encode(old)
        assert Decoder().decode(encoder.encode(new)) == new


@pytest.mark.parametrize("standby", Standby)
def test_every_reason_has_its_number(standby: Standby) -> None:
    service = replace(SERVICE, instances=(replace(INSTANCE, standby=standby, eligible=True),))
    snapshot = replace(SNAPSHOT, services=(service,))
    assert Decoder().decode(Encoder().encode(snapshot)) == snapshot


@pytest.mark.parametrize(
    "instance",
    [
        replace(INSTANCE, port=65536),
        replace(INSTANCE, port=-1),
        replace(INSTANCE, cell=INSTANCE_CELLS),
        replace(INSTANCE, cell=-1),
        replace(INSTANCE, weight=-1.0),
        replace(INSTANCE, weight=float("nan")),
        replace(INSTANCE, weight=float("inf")),
    ],
)
def test_an_instance_out_of_range_is_not_encoded(instance: InstanceRecord) -> None:
    snapshot = replace(SNAPSHOT, services=(replace(SERVICE, version=4, instances=(instance,)),))
    encoder = Encoder()
    encoder.encode(SNAPSHOT)
    with pytest.raises(CodecError):
        encoder.encode(snapshot)
    assert encoder.encode(SNAPSHOT) == golden()


@pytest.mark.parametrize(
    "snapshot",
    [
        replace(SNAPSHOT, services=(SERVICE, SERVICE)),
        replace(SNAPSHOT, routes=(replace(ROUTE, cell=ROUTE_CELLS),)),
        replace(SNAPSHOT, generation=-1),
        replace(SNAPSHOT, routes_version=1 << 64),
    ],
)
def test_what_cannot_be_written_is_refused(snapshot: Snapshot) -> None:
    with pytest.raises(CodecError):
        Encoder().encode(snapshot)


def with_blocks(
    settings: bytes = SETTINGS_BLOCK, routes: bytes = ROUTES_BLOCK, service: bytes = SERVICE_BLOCK
) -> bytes:
    """A payload with these blocks and a directory that fits them."""
    payload = bytearray(golden()[: 32 + 3 * 32 + len(NAMES)])
    offset = len(payload)
    for position, block in enumerate((settings, routes, service)):
        at = 32 + position * 32 + 16
        payload[at : at + 16] = word(offset) + word(len(block))
        offset += len(block)
    return bytes(payload) + settings + routes + service


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"gwsn",
        golden().replace(b"gwsn", b"gwsm"),
        golden()[:4] + b"\x07" + golden()[5:],
        golden() + b"\0",
        golden()[:8] + b"\xff\xff\xff\xff" + golden()[12:],
        golden()[:12] + b"\xff\xff\xff\xff" + golden()[16:],
        golden().replace(NAMES, b'["","",["us"]]'.ljust(len(NAMES))),
        golden().replace(NAMES, b'["","users"]'.ljust(len(NAMES))),
        golden().replace(NAMES, b'{"a":"users"}'.ljust(len(NAMES))),
        with_blocks(settings=b"[" * 100_000),
        with_blocks(settings=b"{}"),
        with_blocks(settings=b""),
        with_blocks(settings=SETTINGS_BLOCK.replace(b"true,[", b"1,[")),
        with_blocks(settings=SETTINGS_BLOCK.replace(b"65536", b"65536.5")),
        with_blocks(settings=SETTINGS_BLOCK.replace(b'"10.0.0.0/8"', b"10")),
        with_blocks(routes=b"7"),
        with_blocks(routes=b"[7]"),
        with_blocks(routes=ROUTES_BLOCK.replace(b"[[1,", b"[[-1,")),
        with_blocks(routes=ROUTES_BLOCK.replace(b"[[1,", b"[[%d," % ROUTE_CELLS)),
        with_blocks(routes=ROUTES_BLOCK.replace(b'"X-A","1"', b'"X-A",1')),
        with_blocks(routes=ROUTES_BLOCK.replace(b'["X-A","1"]', b'"X"')),
        with_blocks(routes=ROUTES_BLOCK.replace(b"[],[],false", b'["/a"],[],false')),
        with_blocks(routes=ROUTES_BLOCK.replace(b"[],[],false", b'["","","",0,"",[1],[]],[],false')),
        with_blocks(routes=ROUTES_BLOCK.replace(b"[],[],false", b"[],[-0.5,[]],false")),
        with_blocks(routes=ROUTES_BLOCK.replace(b"[],[],false", b"[],[0.5,[7]],false")),
        with_blocks(routes=ROUTES_BLOCK.replace(b"[],[],false", b"[],[],0")),
        with_blocks(routes=ROUTES_BLOCK.replace(b'"/users/*"', b'"\xff"')),
        with_blocks(service=b""),
        with_blocks(service=SERVICE_BLOCK[:-1]),
        with_blocks(service=SERVICE_BLOCK + SERVICE_BLOCK[-16:]),
        with_blocks(service=b"\xff\xff\xff\xff" + SERVICE_BLOCK[4:]),
        with_blocks(service=SERVICE_BLOCK[:-8] + struct.pack("<d", float("nan"))),
        with_blocks(service=SERVICE_BLOCK[:-9] + b"\x63" + SERVICE_BLOCK[-8:]),
        with_blocks(service=SERVICE_BLOCK[:-10] + b"\x02" + SERVICE_BLOCK[-9:]),
        with_blocks(service=SERVICE_BLOCK[:-16] + b"\xff\xff\xff\xff" + SERVICE_BLOCK[-12:]),
    ],
)
def test_damage_is_refused_and_the_decoder_goes_on(payload: bytes) -> None:
    assert with_blocks() == golden()
    with pytest.raises(CodecError):
        Decoder().decode(payload)
    decoder = Decoder()
    known = decoder.decode(golden())
    if payload[:5] != golden()[:5]:
        with pytest.raises(CodecError):
            decoder.decode(payload)
    assert decoder.decode(golden()).services[0] is known.services[0]


def test_any_piece_of_a_snapshot_is_refused() -> None:
    for length in range(len(golden())):
        with pytest.raises(CodecError):
            Decoder().decode(golden()[:length])


def test_another_version_says_what_to_do() -> None:
    with pytest.raises(CodecError, match=r"codec version 7, this program reads 6.*restart the gateway"):
        Decoder().decode(golden()[:4] + b"\x07" + golden()[5:])
