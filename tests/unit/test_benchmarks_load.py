"""The load comparison's checks, its load generators, and what it reads from /proc."""

import contextlib
import os
import resource
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.load import check, idle, measure, sink, transfer, wire
from benchmarks.load.processes import cores, free_ports, process, wait_until
from benchmarks.load.run import units_of
from benchmarks.load.upstream import body_of, digest_of
from benchmarks.load.workloads import BY_NAME, WORKLOADS

LOAD = measure.Load(
    requests=1000, seconds=2.0, bytes=200_000, non_2xx=0, socket_errors=0, p50_us=1.0, p99_us=2.0, p999_us=3.0
)
SMALL = BY_NAME["small"]
MIB = 2**20


def test_wrks_result_is_read_and_its_absence_is_an_error() -> None:
    line = (
        'RESULT {"requests":1000,"seconds":2.0,"bytes":200000,"non_2xx":0,"socket_errors":0,'
        '"p50_us":1.0,"p99_us":2.0,"p999_us":3.0}'
    )
    assert measure.parse_result(f"Running 1s test\n{line}\n") == LOAD
    with pytest.raises(ValueError, match="unable to connect"):
        measure.parse_result("unable to connect to 127.0.0.1")


@pytest.mark.parametrize(
    ("load", "sentence"),
    [
        (replace(LOAD, non_2xx=1), "1 responses outside 2xx"),
        (replace(LOAD, socket_errors=2), "2 socket errors"),
        (replace(LOAD, bytes=99_999), "99999 bytes moved, 100000 expected"),
        (replace(LOAD, requests=0, bytes=0), "no request was answered"),
    ],
)
def test_a_load_with_any_error_is_void(load: measure.Load, sentence: str) -> None:
    assert check.load_problems(load, SMALL) == [sentence]


def test_a_clean_load_is_valid() -> None:
    assert check.load_problems(LOAD, SMALL) == []


@pytest.mark.parametrize(
    ("lines", "is_complete"),
    [(1979, False), (1980, True), (2000, True), (2020 + 128, True), (2021 + 128, False)],
)
def test_the_access_log_has_a_line_per_request_within_one_percent(lines: int, is_complete: bool) -> None:
    assert check.is_log_complete(lines, (LOAD, LOAD), SMALL) is is_complete


def test_without_an_access_log_there_must_be_no_line() -> None:
    quiet = BY_NAME["no-log"]
    assert check.is_log_complete(0, (LOAD,), quiet)
    assert not check.is_log_complete(LOAD.requests, (LOAD,), quiet)


def test_the_access_log_is_asked_for_a_request_by_its_id(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    assert not check.has_line_with(log, "abc")
    log.write_text('{"request_id":"abc"}\n')
    assert check.has_line_with(log, "abc")
    assert not check.has_line_with(log, "abd")


def echoed(port: int, request_id: str, route: str = "all", served: int = 2) -> bytes:
    said = {"for": "127.0.0.1", "proto": "http", "forwarded_host": "bench.example:8080", "host": "bench.example:8080"}
    said |= {"request_id": request_id, "route": route, "port": str(port), "served": str(served)}
    return "\n".join(f"{name}={value}" for name, value in said.items()).encode()


class Sampler(check.Echoes):
    """Echoes with ids of their own."""

    def take_one(self, port: int, request_id: str, route: str = "all", served: int = 2) -> list[str]:
        return self.take(200, {"x-request-id": request_id}, echoed(port, request_id, route, served))


def test_samples_that_show_the_agreed_work_have_no_problem() -> None:
    sampler = Sampler(SMALL, {1, 2})
    for number in range(check.SAMPLES):
        assert not sampler.is_enough()
        assert sampler.take_one(1 + number % 2, f"id-{number}") == []
    assert sampler.is_enough()
    assert sampler.problems() == []


def test_samples_show_a_missing_instance_repeated_ids_and_connections_that_are_not_kept() -> None:
    sampler = Sampler(SMALL, {1, 2})
    for _ in range(check.SAMPLES):
        assert sampler.take_one(1, "same", served=1) == []
    assert not sampler.is_enough()
    assert sampler.problems() == [
        "request ids repeat",
        "1 of 2 instances were used",
        "connections to the instances are not kept",
    ]


def test_a_sample_through_another_route_or_with_another_id_is_a_problem() -> None:
    sampler = Sampler(BY_NAME["routes-1k"], {1})
    assert sampler.take_one(1, "a", route="r00998") == ["the forwarded request is not as agreed: {'route': 'r00998'}"]
    assert sampler.take(200, {"X-Request-ID": "other"}, echoed(1, "a", "r00999")) == [
        "request and response do not carry the same X-Request-ID"
    ]
    assert sampler.take(503, {}, b"") == ["an echo was answered 503"]


def test_the_cpu_time_of_children_is_counted_alive_or_ended(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    script = (
        "import subprocess, sys, time\n"
        f"subprocess.run([sys.executable, '-c', {burn!r}])\n"
        f"child = subprocess.Popen([sys.executable, '-c', {burn!r} + '\\ntime.sleep(60)'])\n"
        "child.wait()"
    )
    with process([sys.executable, "-c", script], cores(1)[0], tmp_path / "output") as started:
        assert wait_until(lambda: measure.cpu_seconds(started.pid) >= 0.6, 30)
        assert len(measure.tree(started.pid)) == 2
        memory = measure.memory(started.pid)
        assert memory.rss >= memory.pss > 0
        (child,) = measure.tree(started.pid)[1:]
        os.kill(child, 9)
    assert measure.tree(started.pid) == ()


def test_a_process_that_ignores_sigterm_is_killed_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.load.processes.STOP_TIME", 0.1)
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    script = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {deaf!r}]); {deaf}"
    output = tmp_path / "output"
    with process([sys.executable, "-c", script], cores(1)[0], output) as started:
        assert wait_until(lambda: output.read_text().count("ready") == 2, 30)
        members = measure.tree(started.pid)
    assert len(members) == 2
    assert wait_until(lambda: all(_is_gone(pid) for pid in members), 10)


def _is_gone(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] == "Z"


def test_ports_handed_out_together_are_different_and_not_those_of_outgoing_connections() -> None:
    ports = free_ports(200)
    assert len(set(ports)) == 200
    assert max(ports) < int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])


@pytest.mark.parametrize(
    ("usable", "workers", "is_spread", "expected"),
    [
        ({0, 1}, 1, False, ("0", "1")),
        ({0, 1}, 2, False, ("0", "1")),
        ({0, 1}, 1, True, ("0,1", "0,1")),
        ({0, 1}, 2, True, ("0,1", "0,1")),
        ({0}, 1, False, ("0", "0")),
        ({0, 1, 2, 3}, 2, False, ("0,1", "2,3")),
        ({0, 1, 2, 3}, 1, True, ("0,1", "2,3")),
    ],
)
def test_the_load_keeps_a_core_unless_all_are_shared(
    usable: set[int], workers: int, is_spread: bool, expected: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: usable)
    assert cores(workers, is_spread) == expected


def test_every_workload_has_a_name_of_its_own() -> None:
    assert len(BY_NAME) == len(WORKLOADS)


def test_a_body_of_pieces_that_changed_places_is_another_body() -> None:
    assert [len(body_of(size)) for size in (100, 16384, 3_000_000)] == [100, 16384, 3_000_000]
    whole = body_of(4 * MIB)
    assert whole[:MIB] != whole[MIB : 2 * MIB]
    assert digest_of(100) != digest_of(16384)


def test_large_responses_are_counted_by_their_bytes_and_transfers_in_mib() -> None:
    load = replace(LOAD, requests=2, bytes=3 * MIB)
    assert [units_of(load, BY_NAME[name]) for name in ("small", "1m", "download")] == [2.0, 3.0, 3.0]


def test_a_percentile_is_the_nearest_rank() -> None:
    ordered = [float(number) for number in range(1, 101)]
    assert [measure.percentile(ordered, percent) for percent in (0, 50, 99, 99.9)] == [1.0, 50.0, 99.0, 100.0]
    assert measure.percentile([], 50) == 0.0


@contextlib.contextmanager
def reading_upstream(output: Path) -> Iterator[int]:
    (port,) = free_ports(1)
    with process([sys.executable, "-m", "benchmarks.load.sink", str(port)], cores(1)[1], output):
        assert wait_until(lambda: _is_open(port), 30)
        yield port


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_whole_uploads_are_counted_and_arrive_as_they_were_sent(tmp_path: Path) -> None:
    file = tmp_path / "body"
    file.write_bytes(body_of(2 * MIB))
    with reading_upstream(tmp_path / "output") as port:
        load = transfer.run(port, "POST", "/100", file, connections=2, seconds=0.2)
        assert load.requests >= 2
        assert (load.non_2xx, load.socket_errors) == (0, 0)
        assert load.bytes == load.requests * (2 * MIB + 100)
        assert load.p50_us <= load.p99_us <= load.p999_us

        head = f"POST /100 HTTP/1.1\r\nHost: a\r\n{sink.VERIFY}: sha256\r\nContent-Length: {2 * MIB}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(head.encode())
            transfer.send_file(connection, file)
            answer = wire.read_head(connection)
            assert answer is not None
            received = answer.rest
            while len(received) < answer.length:
                received += connection.recv(1000)
        assert received.decode() == digest_of(2 * MIB)


def test_an_upstream_that_is_gone_is_an_error_of_the_transfer() -> None:
    (port,) = free_ports(1)
    load = transfer.run(port, "GET", "/", None, connections=2, seconds=0.1)
    assert (load.requests, load.socket_errors) == (0, 2)


def test_a_chunked_body_is_refused_rather_than_miscounted() -> None:
    head = wire.Head("HTTP/1.1 200 OK", {"transfer-encoding": "chunked"}, b"")
    with pytest.raises(ConnectionError, match="chunked"):
        _ = head.length


def test_idle_connections_are_asked_again_and_those_that_were_closed_are_found(tmp_path: Path) -> None:
    with reading_upstream(tmp_path / "output") as port, idle.held(port, "/100", 20) as held:
        assert held.problems() == []
        held.connections[7].shutdown(socket.SHUT_RDWR)
        assert held.problems() == ["1 of 20 idle connections did not answer any more"]


def test_a_limit_of_open_files_that_is_too_low_is_told_with_the_one_needed() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert idle.limit_problems(0) == []
    (problem,) = idle.limit_problems(soft + 1)
    assert f"{soft + 501} needed" in problem
