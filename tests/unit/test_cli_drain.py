"""`gw drain`, `gw undrain` and `gw services --history`, from their options to their exit codes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from cli.app import app
from cli.drain import requests_left
from gateway.admin import status
from gateway.admin.facts import DrainFacts, Facts, TransitionFacts
from gateway.admin.process import Usage
from gateway.shm import layout
from gateway.shm.ledger import Ledger
from tests.backends import free_port
from tests.unit.fake_gateway import STARTED, FakeFacade, instance, make_facts, make_ledger

runner = CliRunner()
INSTANCE = "10.0.0.1:9001"


@pytest.mark.usefixtures("gateway")
def test_drain_and_undrain_say_what_they_did(facade: FakeFacade) -> None:
    said = []
    for command in ("drain", "drain", "undrain", "undrain"):
        result = runner.invoke(app, [command, "users", INSTANCE])
        assert result.exit_code == 0, result.output
        said.append(result.stdout.strip())
    assert said == [
        f"{INSTANCE} of users is draining: it takes no new requests.",
        f"{INSTANCE} of users is already draining: it takes no new requests.",
        f"{INSTANCE} of users is drained no longer.",
        f"{INSTANCE} of users was not drained.",
    ]


@pytest.mark.usefixtures("gateway")
def test_drain_tells_the_gateway_who_drains(facade: FakeFacade) -> None:
    runner.invoke(app, ["drain", "users", INSTANCE])
    assert "@" in facade.present.services[0].drains[0].by


@pytest.mark.usefixtures("gateway")
@pytest.mark.parametrize("command", ["drain", "undrain"])
@pytest.mark.parametrize(("service", "address", "known"), [("nope", INSTANCE, "orders"), ("users", "x:1", INSTANCE)])
def test_what_does_not_exist_exits_2_and_says_what_does(command: str, service: str, address: str, known: str) -> None:
    result = runner.invoke(app, [command, service, address])
    assert result.exit_code == 2
    assert known in result.stderr


def test_nobody_there_exits_3() -> None:
    result = runner.invoke(app, ["drain", "users", INSTANCE, "--wait", "--admin", f"127.0.0.1:{free_port()}"])
    assert result.exit_code == 3


@pytest.mark.usefixtures("gateway")
def test_waiting_ends_when_nothing_is_left() -> None:
    result = runner.invoke(app, ["drain", "users", INSTANCE, "--wait"])
    assert result.exit_code == 0
    assert "No request is left." in result.stdout


@pytest.mark.usefixtures("gateway")
def test_waiting_ends_with_1_after_the_timeout(facade: FakeFacade) -> None:
    for row in (0, 1):  # workers that never come to the new generation
        facade.ledger.words[layout.row_word(row, layout.R_GENERATION)] = 42
    result = runner.invoke(app, ["drain", "users", INSTANCE, "--wait", "--timeout", "0.2"])
    assert result.exit_code == 1
    assert "2 requests are left" in result.stderr


def drained(in_flight: int) -> Facts:
    facts = make_facts()
    drain = DrainFacts(INSTANCE, STARTED, "alice", is_listed=True, in_flight=in_flight)
    return replace(facts, services=(replace(facts.services[0], drains=(drain,)), *facts.services[1:]))


def show(facts: Facts, ledger: Ledger) -> status.Status:
    return status.status(facts, ledger, usage=lambda _pid: Usage(0, 0.0), now=STARTED)


def test_what_is_left_counts_requests_and_workers_that_have_not_heard() -> None:
    ledger = make_ledger()
    ledger.words[layout.row_word(0, layout.R_GENERATION)] = 41
    ledger.words[layout.row_word(1, layout.R_GENERATION)] = 42
    assert requests_left(show(drained(3), ledger), "users", INSTANCE, 42) == 4
    ledger.words[layout.row_word(0, layout.R_GENERATION)] = 0  # it died
    assert requests_left(show(drained(0), ledger), "users", INSTANCE, 42) == 0
    assert requests_left(show(make_facts(), ledger), "users", INSTANCE, 42) is None


@pytest.mark.usefixtures("gateway")
def test_the_history_of_one_service_is_a_table(facade: FakeFacade) -> None:
    came = TransitionFacts(STARTED, "absent", "not_probed", "came", "file", "listed by the file")
    fell = TransitionFacts(STARTED + 5.0, "eligible", "unhealthy", "probes_failed", "probe", "connection refused")
    users = replace(facade.present.services[0], instances=(instance(INSTANCE, 1, flaps=1, history=(came, fell)),))
    facade.present = replace(facade.present, services=(users, *facade.present.services[1:]))
    result = runner.invoke(app, ["services", "users", "--history"])
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert f"users {INSTANCE} eligible flapped 1 time" in lines
    assert "2026-09-21 14:13:20 absent not probed file came listed by the file" in lines
    assert "2026-09-21 14:13:25 eligible unhealthy probe probes failed connection refused" in lines
    assert "orders" not in result.stdout
    found = json.loads(runner.invoke(app, ["services", "--history", "users", "--json"]).stdout)
    assert [service["name"] for service in found["services"]] == ["users"]
    assert [each["who"] for each in found["services"][0]["instances"][0]["history"]] == ["file", "probe"]


@pytest.mark.usefixtures("gateway")
def test_a_service_that_does_not_exist_exits_2_and_says_which_do() -> None:
    result = runner.invoke(app, ["services", "nope"])
    assert result.exit_code == 2
    assert "users, orders" in result.stderr
