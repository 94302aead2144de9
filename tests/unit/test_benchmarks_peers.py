"""The peers of the load comparison: which are run, and whether they accept their configurations."""

import os
import subprocess
from pathlib import Path

import pytest

from benchmarks.load import configs
from benchmarks.load.__main__ import gateways, names, options, plan
from benchmarks.load.configs import Place
from benchmarks.load.peers import PeerMissing, all_peers, require
from benchmarks.load.processes import free_ports
from benchmarks.load.workloads import BY_NAME, WORKLOADS, Workload, route_names

SMALL = BY_NAME["small"]
PEERS = all_peers()


def test_a_missing_peer_is_named_with_the_packages_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(PeerMissing, match=r"haproxy.*apt-get install nginx-light haproxy caddy wrk"):
        require([PEERS["nginx"], PEERS["haproxy"]])


def test_another_gateway_is_a_peer_by_its_own_name(tmp_path: Path) -> None:
    fake = tmp_path / "gw"
    fake.write_text("#!/bin/sh\necho gw 9.9.9\n")
    fake.chmod(0o755)
    given = options().parse_args(["--gw", f"compiled={fake} --flag", "--peers", "compiled,nginx", "--workloads", "one"])
    asked = plan(given, {"GW_BENCH_COMMAND": f"{fake}\n"})
    assert [peer.name for peer in asked.peers] == ["compiled", "nginx"]
    ours = asked.peers[0]
    assert ours.command(Path("a.toml")) == [str(fake), "--flag", "up", "-c", "a.toml"]
    assert ours.version() == "gw 9.9.9"
    assert (asked.rounds, asked.seconds, [each.name for each in asked.workloads]) == (2, 3, ["one"])


def test_a_gateway_without_a_name_is_named_by_its_place() -> None:
    assert gateways(["new=/a/gw", "/b/gw --x=1"], {"GW_BENCH_COMMAND": "old=/c/gw\n"}) == [
        ("new", "/a/gw"),
        ("gw-3", "/b/gw --x=1"),
        ("old", "/c/gw"),
    ]


def test_a_gateway_that_cannot_be_run_is_missing_by_its_name() -> None:
    with pytest.raises(PeerMissing, match=r"Not installed: other.*where --gw says"):
        require([all_peers([("other", "/nonexistent/gw")])["other"]])


def test_a_full_run_has_every_workload_and_a_choice_is_checked() -> None:
    asked = plan(options().parse_args(["--full"]), {})
    assert asked.workloads == WORKLOADS
    assert (asked.rounds, asked.seconds) == (5, 10)
    with pytest.raises(ValueError, match="gw, nginx"):
        plan(options().parse_args(["--peers", "apache"]), {})
    with pytest.raises(ValueError, match="nothing given"):
        names(("a",), ",")


VALIDATE = {
    "nginx": ["nginx", "-t", "-q", "-c"],
    "haproxy": ["haproxy", "-c", "-q", "-f"],
    "caddy": ["caddy", "validate", "--adapter", "caddyfile", "--config"],
}


@pytest.mark.parametrize(
    "workload", [SMALL, *(BY_NAME[name] for name in ("routes-1k", "idle-10k", "no-log"))], ids=lambda each: each.name
)
@pytest.mark.parametrize("name", VALIDATE)
def test_a_peer_accepts_its_configuration(name: str, workload: Workload, tmp_path: Path) -> None:
    peer = PEERS[name]
    if peer.executable() is None:
        pytest.skip(f"{name} is not installed")
    port, admin_port, *upstream_ports = free_ports(5)
    place = Place(
        tmp_path,
        port,
        admin_port,
        tuple(upstream_ports),
        2,
        workload.routes,
        workload.client_connections,
        workload.is_logged,
    )
    files = peer.configure(place)
    for file, text in files.items():
        (tmp_path / file).write_text(text)
    environment = {**os.environ, **peer.environment(place)}
    command = [*VALIDATE[name], str(tmp_path / next(iter(files)))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("routes", "path"), [(1, "/*"), (1000, "/r00999/*")])
def test_gw_accepts_its_configuration(routes: int, path: str, tmp_path: Path) -> None:
    from gateway.config.load import Overrides, load

    place = Place(tmp_path, 8080, 9901, (9001, 9002, 9003), 2, routes, 15_000)
    (file, text), *_ = configs.gw(place).items()
    (tmp_path / file).write_text(text)
    loaded = load(tmp_path / file, environ={}, overrides=Overrides())
    assert loaded.gateway.workers == 2
    assert loaded.limits.connections == 15_000
    assert loaded.services[0].balance == "least_connections"
    assert (len(loaded.routes), loaded.routes[-1].path) == (routes, path)
    assert loaded.routes[-1].headers[0] == ("X-Route", route_names(routes)[-1])
