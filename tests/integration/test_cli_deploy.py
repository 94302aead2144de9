"""A deployment by script: wait for the gateway, see what a file would change, reload, wait for that, ask for routes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.backends import Backend, free_port, start_backend
from tests.gateways import ROOT, RunningGateway, start_gateway

GW = str(Path(sys.executable).parent / "gw")  # the console script

CONFIG = """
[[services]]
name = "users"
instances = ["{one}", "{two}"]
balance = "hash"
hash_on = "header:X-User"
[services.health]
path = "/health"
interval = 0.5
healthy_threshold = 1
[[routes]]
path = "/users/*"
service = "users"
methods = ["GET", "POST"]
strip_path = true
headers = {{ "X-Version" = "1" }}
"""


@pytest.fixture
def one() -> Iterator[Backend]:
    with start_backend("one") as backend:
        yield backend


@pytest.fixture
def two() -> Iterator[Backend]:
    with start_backend("two") as backend:
        yield backend


@pytest.fixture
def gateway(tmp_path: Path, one: Backend, two: Backend) -> Iterator[RunningGateway]:
    with start_gateway(tmp_path, CONFIG.format(one=one.url, two=two.url)) as started:
        yield started


def gw(gateway: RunningGateway, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """The console script, pointed at this gateway."""
    done = subprocess.run(
        [GW, *arguments, "--admin", gateway.admin],
        cwd=gateway.config_path.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def answer(gateway: RunningGateway, *arguments: str, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gw(gateway, *arguments, "--json", code=code).stdout)
    return found


def ask(gateway: RunningGateway, method: str, url: str, *headers: tuple[str, str]) -> dict[str, Any]:
    """What the admin interface explains."""
    asked = {"method": method, "url": url, "headers": headers}
    found: dict[str, Any] = json.loads(gateway.admin_post("/api/explain", asked).body)
    return found


def test_a_request_goes_where_it_is_explained_to_go(gateway: RunningGateway, one: Backend, two: Backend) -> None:
    gw(gateway, "wait", "--service", "users", "--healthy", "2", "--timeout", "20")
    before = (one.stats()["requests"], two.stats()["requests"])
    explained = {
        user: ask(gateway, "GET", "/users/7?x=1", ("X-User", user))["routes"][0] for user in ("alice", "bob", "carol")
    }
    by_script = answer(gateway, "explain", "GET", "/users/7?x=1", "-H", "X-User: alice")["routes"][0]
    assert by_script["balance"] == explained["alice"]["balance"]
    assert (one.stats()["requests"], two.stats()["requests"]) == before  # nothing was sent
    names = {one.address: "one", two.address: "two"}
    for user, route in explained.items():
        got = json.loads(gateway.get("/users/7?x=1", {"X-User": user}).body)
        assert got["name"] == names[route["balance"]["next"]]
        assert got["target"] == route["changes"]["target"] == "/7?x=1"
        sent = {name.lower(): value for name, value in got["headers"]}
        added = {name.lower(): value for name, value in route["changes"]["added"] if not value.startswith("(")}
        assert added["x-version"] == "1"
        assert {name: sent[name] for name in added if name != "x-forwarded-host"} == {
            name: value for name, value in added.items() if name != "x-forwarded-host"
        }
    assert gateway.request("DELETE", "/users/7").status == ask(gateway, "DELETE", "/users/7")["status"]
    assert gateway.get("/nobody").status == ask(gateway, "GET", "/nobody")["status"]


def test_a_drained_instance_is_no_candidate_and_is_waited_for(gateway: RunningGateway, one: Backend) -> None:
    gw(gateway, "wait", "--service", "users", "--healthy", "2", "--timeout", "20")
    generation = answer(gateway, "drain", "users", one.address, "--wait")["generation"]
    gw(gateway, "wait", "--generation", str(generation), "--timeout", "20")
    instances = ask(gateway, "GET", "/users/7")["routes"][0]["instances"]
    assert [(each["address"] == one.address, each["reason"]) for each in instances if not each["candidate"]] == [
        (True, "draining")
    ]
    missing = gw(gateway, "wait", "--service", "users", "--healthy", "2", "--timeout", "0.3", code=1).stderr
    assert f"{one.address} is draining (drained by " in missing


def test_a_changed_file_is_compared_reloaded_and_waited_for(gateway: RunningGateway, one: Backend) -> None:
    text = gateway.config_path.read_text()
    new = text.replace('methods = ["GET", "POST"]', "timeout = 7.0").replace(f'"{one.url}", ', "")
    new += '[gateway]\nworkers = 9\nname = "other"\n[limits]\nheaders = 50\n[dns]\nmin_ttl = 2.0\n'
    gateway.config_path.write_text(new)
    found = answer(gateway, "check", "--diff")["diff"]
    assert [(each["name"], sorted(key["key"] for key in each["keys"])) for each in found["routes"]] == [
        ("/users/*", ["methods", "timeout"])
    ]
    assert found["services"][0]["keys"] == [{"key": f"instances.{one.address}", "old": 1, "new": None}]
    assert {each["key"]: each["needs_restart"] for each in found["settings"]} == {
        "gateway.name": False,
        "limits.headers": False,
        "dns.min_ttl": True,
    }
    assert "gateway.workers" in {each["key"] for each in found["fixed"]}  # --workers was given
    reloaded = answer(gateway, "reload")
    assert reloaded["needs_restart"] == ["dns"]
    gw(gateway, "wait", "--generation", str(reloaded["generation"]), "--timeout", "20")
    assert gateway.request("DELETE", "/users/7").status == 200
    found = answer(gateway, "check", "--diff")["diff"]  # what needs the restart is left
    assert [each["key"] for each in found["settings"]] == ["dns.min_ttl"]
    assert (found["routes"], found["services"]) == ([], [])


def test_a_gateway_that_is_started_later_is_waited_for(tmp_path: Path) -> None:
    admin = f"127.0.0.1:{free_port()}"
    waiting = subprocess.Popen(
        [GW, "wait", "--timeout", "60", "--admin", admin], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    try:
        with start_gateway(tmp_path, "", arguments=["--admin", admin]):
            began = time.monotonic()
            out, _ = waiting.communicate(timeout=30.0)
            assert time.monotonic() - began < 10.0
    finally:
        waiting.kill()
    assert (waiting.returncode, out.startswith("The gateway is ready; every worker uses generation")) == (0, True)
