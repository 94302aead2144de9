"""The load comparison's own arithmetic, its checks, and what it reads from /proc."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.load import check, measure, report
from benchmarks.load.peers import PEERS, PeerMissing, Place, require
from benchmarks.load.run import Cell, cores, free_ports, process, wait_until
from benchmarks.load.workloads import BY_NAME, WORKLOADS

LOAD = measure.Load(
    requests=1000, seconds=2.0, bytes=200_000, non_2xx=0, socket_errors=0, p50_us=1.0, p99_us=2.0, p999_us=3.0
)
SMALL = BY_NAME["small"]


def cell(peer: str, round_number: int, cpu_us: float, *problems: str) -> Cell:
    return Cell(peer, "small", 1, round_number, cpu_us, 1.0, LOAD, measure.Memory(2, 1), 1000, problems)


def row_of(rows: list[report.Row], peer: str) -> report.Row:
    return next(row for row in rows if row.peer == peer)


def test_the_ratio_is_the_median_of_ratios_within_a_round() -> None:
    rows = report.rows(
        [
            *(cell("nginx", number, cpu) for number, cpu in enumerate((10.0, 20.0, 40.0))),
            *(cell("gw", number, cpu) for number, cpu in enumerate((20.0, 30.0, 40.0))),
        ]
    )
    assert row_of(rows, "gw").ratio == 1.5
    assert row_of(rows, "gw").cpu_us == 30.0
    assert row_of(rows, "nginx").ratio == 1.0


def test_a_void_round_counts_for_nothing_and_says_why() -> None:
    rows = report.rows(
        [cell("nginx", 0, 10.0), cell("nginx", 1, 1.0, "7 socket errors"), cell("gw", 0, 20.0), cell("gw", 1, 5.0)]
    )
    assert row_of(rows, "nginx").cpu_us == 10.0
    assert row_of(rows, "nginx").problems == ("7 socket errors",)
    assert row_of(rows, "gw").ratio == 2.0  # its second round has nothing to be compared with


def test_a_row_without_a_valid_round_shows_no_figure() -> None:
    (row,) = report.rows([cell("gw", 0, 20.0, "it lies")])
    shown = report.cells_of(row)
    assert shown == ["gw", *["void"] * 7, "0/1"]
    assert len(shown) == len(report.COLUMNS)


def test_the_page_names_when_where_and_how_before_the_figures() -> None:
    machine = report.Machine("2026-01-01 00:00 UTC", "A CPU", 2, "Linux 6.1", {"nginx": "nginx/1"}, 3, 5)
    page = report.page(machine, report.rows([cell("nginx", 0, 10.0), cell("gw", 0, 20.0, "wrong body")]))
    assert page.index("A CPU") < page.index("nginx/1") < page.index("## Method") < page.index("| nginx | 10.0 |")
    assert "- gw, void: wrong body" in page


def test_wrks_result_is_read_and_its_absence_is_an_error() -> None:
    line = (
        'RESULT {"requests":1000,"seconds":2.0,"bytes":200000,"non_2xx":0,"socket_errors":0,'
        '"p50_us":1.0,"p99_us":2.0,"p999_us":3.0}'
    )
    assert measure.parse_wrk(f"Running 1s test\n{line}\n") == LOAD
    with pytest.raises(ValueError, match="unable to connect"):
        measure.parse_wrk("unable to connect to 127.0.0.1")


@pytest.mark.parametrize(
    ("load", "sentence"),
    [
        (replace(LOAD, non_2xx=1), "1 responses outside 2xx"),
        (replace(LOAD, socket_errors=2), "2 socket errors"),
        (replace(LOAD, bytes=99_999), "99999 bytes received, 100000 expected"),
        (replace(LOAD, requests=0, bytes=0), "no request was answered"),
    ],
)
def test_a_load_with_any_error_is_void(load: measure.Load, sentence: str) -> None:
    assert check.load_problems(load, SMALL) == [sentence]


def test_a_clean_load_is_valid() -> None:
    assert check.load_problems(LOAD, SMALL) == []


@pytest.mark.parametrize(
    ("lines", "is_complete"), [(989, False), (990, True), (1000, True), (1010 + 64, True), (1011 + 64, False)]
)
def test_the_access_log_has_a_line_per_request_within_one_percent(lines: int, is_complete: bool) -> None:
    assert check.is_log_complete(lines, LOAD, SMALL) is is_complete


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
    monkeypatch.setattr("benchmarks.load.run.STOP_TIME", 0.1)
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


def test_ports_handed_out_together_are_different() -> None:
    assert len(set(free_ports(20))) == 20


def test_every_workload_has_a_name_of_its_own() -> None:
    assert len(BY_NAME) == len(WORKLOADS)


def test_a_missing_peer_is_named_with_the_packages_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(PeerMissing, match=r"haproxy.*apt-get install nginx-light haproxy caddy wrk"):
        require(("nginx", "haproxy"))


VALIDATE = {
    "nginx": ["nginx", "-t", "-q", "-c"],
    "haproxy": ["haproxy", "-c", "-q", "-f"],
    "caddy": ["caddy", "validate", "--adapter", "caddyfile", "--config"],
}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("name", VALIDATE)
def test_a_peer_accepts_its_configuration(name: str, workers: int, tmp_path: Path) -> None:
    peer = PEERS[name]
    if peer.executable() is None:
        pytest.skip(f"{name} is not installed")
    port, admin_port, *upstream_ports = free_ports(5)
    place = Place(tmp_path, port, admin_port, tuple(upstream_ports), workers)
    file = tmp_path / peer.file
    file.write_text(peer.configure(place))
    environment = {**os.environ, **peer.environment(place)}
    done = subprocess.run([*VALIDATE[name], str(file)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_gw_accepts_its_configuration(tmp_path: Path) -> None:
    from gateway.config.load import Overrides, load

    place = Place(tmp_path, 8080, 9901, (9001, 9002, 9003), 2)
    file = tmp_path / "gateway.toml"
    file.write_text(PEERS["gw"].configure(place))
    loaded = load(file, environ={}, overrides=Overrides())
    assert loaded.gateway.workers == 2
    assert loaded.services[0].balance == "least_connections"
