"""Traces of a real gateway, as a real OTLP receiver gets them; and traffic when there is no receiver."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.backends import Backend, free_port, start_backend
from tests.gateway_config import one_service
from tests.gateways import RunningGateway, start_gateway
from tests.otlp_receiver import CLIENT, SERVER, OtlpReceiver, ReceivedSpan

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=1", "User-Agent": "a browser"}


@pytest.fixture
def backend() -> Iterator[Backend]:
    with start_backend("one") as started:
        yield started


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as started:
        yield started


def tracing(url: str, more: str = "") -> str:
    return f"[tracing]\nendpoint = '{url}'\nservice_name = 'front'\n{more}"


def config(url: str, *instances: str) -> str:
    return one_service(*instances, health='type = "none"', more=tracing(url))


def spans_of(gateway: RunningGateway, receiver: OtlpReceiver, count: int, trace_id: str = TRACE) -> list[ReceivedSpan]:
    gateway.wait_until(lambda: len(receiver.spans(trace_id)) >= count)
    return receiver.spans(trace_id)


def asked_and_traced(gateway: RunningGateway, receiver: OtlpReceiver) -> bool:
    return gateway.get("/", PARENT).status == 200 and bool(receiver.spans(TRACE))


def spans_total(gateway: RunningGateway, result: str) -> float:
    found = re.search(rf'gw_trace_spans_total{{result="{result}"}} (\S+)', gateway.admin_get("/metrics").body.decode())
    assert found
    return float(found[1])


def test_a_request_that_is_repeated_is_one_trace(tmp_path: Path, backend: Backend, receiver: OtlpReceiver) -> None:
    closed = f"http://127.0.0.1:{free_port()}"
    more = "headers = { X-Key = 'geheim' }"
    text = one_service(closed, backend.url, service='balance = "round_robin"', health='type = "none"')
    with start_gateway(tmp_path, text + tracing(receiver.url, more), workers=1) as gateway:
        told = {}  # by trace: what the instance that answered took for its parent
        for number in range(2):  # one of them begins with the instance that is down
            trace_id = f"{number + 1:032x}"
            sent = gateway.get("/echo?secret=1", {**PARENT, "traceparent": f"00-{trace_id}-{SPAN}-01"})
            told[trace_id] = {name.lower(): value for name, value in json.loads(sent.body)["headers"]}["traceparent"]
        gateway.wait_until(lambda: len(receiver.spans()) == 5)
        trace_id = next(each for each in told if len(receiver.spans(each)) == 3)
        server, failed, answered = receiver.spans(trace_id)
        assert (server.kind, failed.kind, answered.kind) == (SERVER, CLIENT, CLIENT)
        assert (server.parent_id, server.state) == (SPAN, "vendor=1")
        assert failed.parent_id == answered.parent_id == server.span_id
        assert told[trace_id] == f"00-{trace_id}-{answered.span_id}-01"
        assert server.started <= failed.started <= failed.ended <= answered.started <= answered.ended <= server.ended
        assert (server.is_error, failed.is_error, answered.is_error) == (False, True, False)
        assert failed.attributes["error.type"] == "connect_refused"
        assert failed.attributes["server.port"] == int(closed.rpartition(":")[2])
        assert answered.attributes["server.port"] == backend.port
        assert answered.attributes["http.request.resend_count"] == 1
        assert server.attributes["http.response.status_code"] == 200
        assert (server.attributes["url.path"], server.attributes["user_agent.original"]) == ("/echo", "a browser")
        assert server.resource["service.name"] == "front"
        assert "secret" not in repr(receiver.spans())
        assert receiver.headers[-1]["x-key"] == "geheim"
        gateway.wait_until(lambda: spans_total(gateway, "exported") == 5)


def test_what_was_traced_last_is_exported_before_the_gateway_ends(
    tmp_path: Path, backend: Backend, receiver: OtlpReceiver
) -> None:
    with start_gateway(tmp_path, config(receiver.url, backend.url)) as gateway:
        for _ in range(20):
            assert gateway.get("/", PARENT).status == 200
        gateway.signal(signal.SIGTERM)
        assert gateway.wait_end() == 0
        assert len(receiver.spans(TRACE)) == 40


def test_a_reload_turns_tracing_on_elsewhere_and_off(tmp_path: Path, backend: Backend, receiver: OtlpReceiver) -> None:
    off = one_service(backend.url, health='type = "none"')
    with start_gateway(tmp_path, off) as gateway, OtlpReceiver() as other:
        sent = json.loads(gateway.get("/", PARENT).body)["headers"]
        assert PARENT["traceparent"] in [value for _, value in sent]
        for each in (receiver, other):
            gateway.config_path.write_text(config(each.url, backend.url))
            gateway.signal(signal.SIGHUP)
            gateway.wait_until(partial(asked_and_traced, gateway, each))
        gateway.config_path.write_text(off)
        gateway.signal(signal.SIGHUP)
        gateway.wait_until(lambda: PARENT["traceparent"] in str(json.loads(gateway.get("/", PARENT).body)["headers"]))


def test_without_a_receiver_traffic_goes_on_and_that_is_said_once(tmp_path: Path, backend: Backend) -> None:
    port = free_port()
    with start_gateway(tmp_path, config(f"http://127.0.0.1:{port}/v1/traces", backend.url)) as gateway:
        said = "traces cannot be exported, traffic goes on without"
        gateway.wait_until(lambda: gateway.get("/", PARENT).status == 200 and gateway.events(said))
        assert all(gateway.get("/", PARENT).status == 200 for _ in range(50))
        assert "spans are not exported" in str(gateway.status()["problems"])
        assert len(gateway.events(said)) == 1
        with OtlpReceiver(port) as receiver:
            gateway.wait_until(lambda: receiver.spans(TRACE), 30.0)
            gateway.wait_until(lambda: gateway.events("traces are exported again"))
            gateway.wait_until(lambda: not gateway.status()["problems"])


def test_a_receiver_that_refuses_costs_spans_which_are_counted(
    tmp_path: Path, backend: Backend, receiver: OtlpReceiver
) -> None:
    receiver.status = 400
    with start_gateway(tmp_path, config(receiver.url, backend.url)) as gateway:
        assert gateway.get("/", PARENT).status == 200
        gateway.wait_until(lambda: spans_total(gateway, "failed") == 2)
        receiver.status = 200
        assert gateway.get("/", PARENT).status == 200
        gateway.wait_until(lambda: spans_total(gateway, "exported") == 2)


def test_an_exporter_that_dies_is_replaced(tmp_path: Path, backend: Backend, receiver: OtlpReceiver) -> None:
    with start_gateway(tmp_path, config(receiver.url, backend.url)) as gateway:
        assert gateway.get("/", PARENT).status == 200
        spans_of(gateway, receiver, 2)
        children = {
            int(child)
            for task in Path(f"/proc/{gateway.pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        }
        (exporter,) = children - set(gateway.worker_pids())
        assert 'process_open_fds{process="exporter"}' in gateway.admin_get("/metrics").body.decode()
        os.kill(exporter, signal.SIGKILL)
        gateway.wait_until(lambda: gateway.events("exporter of traces died"))
        assert gateway.get("/", PARENT).status == 200  # waits in the socket for the next one
        spans_of(gateway, receiver, 4)
