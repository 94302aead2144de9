"""Any snapshot survives the codec; any bytes are a snapshot or a CodecError, nothing else."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gateway.shm.layout import INSTANCE_CELLS, ROUTE_CELLS
from gateway.snapshot.codec import CodecError, Decoder, Encoder
from gateway.snapshot.model import InstanceRecord, RouteRecord, ServiceRecord, Snapshot, Standby, WorkerSettings

texts = st.text(max_size=12)
seconds = st.floats(min_value=0, max_value=1e6)
small = st.integers(min_value=0, max_value=1 << 40)
words = st.integers(min_value=0, max_value=(1 << 64) - 1)

settings_records = st.builds(
    WorkerSettings,
    name=texts,
    server_header=st.booleans(),
    trusted_proxies=st.lists(texts, max_size=2).map(tuple),
    proxy_protocol=st.booleans(),
    header_bytes=small,
    headers=small,
    body_bytes=small,
    header_timeout=seconds,
    idle_timeout=seconds,
    connections=small,
    access_log=texts,
    access_format=texts,
    access_fields=st.lists(texts, max_size=2).map(tuple),
    drain_timeout=seconds,
    ready=st.booleans(),
    traces=st.booleans(),
    trace_sample=st.floats(min_value=0, max_value=1),
    trace_b3=st.booleans(),
)
routes = st.builds(
    RouteRecord,
    cell=st.integers(min_value=0, max_value=ROUTE_CELLS - 1),
    path=texts,
    host=texts,
    methods=st.lists(texts, max_size=2).map(tuple),
    service=texts,
    strip_path=st.booleans(),
    timeout=seconds,
    per_try_timeout=seconds,
    stream_idle_timeout=seconds,
    retry_count=small,
    headers=st.lists(st.tuples(texts, texts), max_size=2).map(tuple),
    log_sample=st.floats(min_value=0, max_value=1),
)
instances = st.builds(
    InstanceRecord,
    cell=st.integers(min_value=0, max_value=INSTANCE_CELLS - 1),
    host=texts,
    port=st.integers(min_value=0, max_value=65535),
    weight=st.floats(min_value=0, allow_infinity=False, allow_nan=False),
    eligible=st.booleans(),
    standby=st.sampled_from(Standby),
)
services = st.builds(
    ServiceRecord,
    name=texts,
    version=words,
    balance=texts,
    hash_on=texts,
    connect_timeout=seconds,
    max_in_flight=small,
    keepalive_idle=seconds,
    consecutive_failures=small,
    eject_time=seconds,
    max_ejected_percent=small,
    instances=st.lists(instances, max_size=2).map(tuple),
)
snapshots = st.builds(
    Snapshot,
    generation=words,
    accepted_ns=words,
    settings_version=words,
    settings=settings_records,
    routes_version=words,
    routes=st.lists(routes, max_size=2).map(tuple),
    services=st.lists(services, max_size=3, unique_by=lambda service: service.name).map(tuple),
)


@given(snapshots)
def test_a_round_trip_changes_nothing(snapshot: Snapshot) -> None:
    assert Decoder().decode(Encoder().encode(snapshot)) == snapshot


@given(st.lists(snapshots, max_size=3))
def test_a_history_of_snapshots_arrives_as_it_was(history: list[Snapshot]) -> None:
    """With caches on both sides; a version moves whenever its part may have."""
    encoder, decoder = Encoder(), Decoder()
    for step, drawn in enumerate(history):
        snapshot = replace(
            drawn,
            settings_version=step,
            routes_version=step,
            services=tuple(replace(service, version=step) for service in drawn.services),
        )
        payload = encoder.encode(snapshot)
        assert decoder.decode(payload) == snapshot
        again = decoder.decode(encoder.encode(snapshot))
        assert all(a is b for a, b in zip(again.services, decoder.decode(payload).services, strict=True))


@given(snapshots, st.data())
def test_damaged_bytes_are_a_snapshot_or_a_codec_error(snapshot: Snapshot, data: st.DataObject) -> None:
    payload = bytearray(Encoder().encode(snapshot))
    for _ in range(data.draw(st.integers(min_value=1, max_value=4))):
        at = data.draw(st.integers(min_value=0, max_value=len(payload) - 1))
        payload[at : at + data.draw(st.integers(min_value=0, max_value=2))] = data.draw(st.binary(max_size=2))
        if not payload:
            break
    try:
        decoded = Decoder().decode(bytes(payload))
    except CodecError:
        return
    assert Decoder().decode(Encoder().encode(decoded)) == decoded, "what is accepted is a snapshot like any other"


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(junk: bytes) -> None:
    for payload in (junk, b"gwsn\x01\0\0\0" + junk):
        try:
            Decoder().decode(payload)
        except CodecError:
            continue
        raise AssertionError("accepted")
