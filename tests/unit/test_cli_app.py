"""The commands, from their options to their exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app
from tests.consul import ConsulServer
from tests.unit.fake_gateway import FakeFacade

ROOT = Path(__file__).parent.parent.parent
GW = [sys.executable, "-m", "cli.app"]

runner = CliRunner()


@pytest.mark.usefixtures("gateway")
def test_status_is_a_dashboard_once() -> None:
    result = runner.invoke(app, ["status"])
    assert result.exit_code == 0, result.output
    assert "edge" in result.stdout
    assert "10.0.0.3:9001" in result.stdout
    assert "connection refused" in result.stdout


@pytest.mark.usefixtures("gateway")
@pytest.mark.parametrize(("command", "key"), [("status", "workers"), ("routes", "routes"), ("services", "services")])
def test_json_is_what_the_interface_answers(command: str, key: str) -> None:
    result = runner.invoke(app, [command, "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)[key]


@pytest.mark.usefixtures("gateway")
def test_routes_and_services_are_tables() -> None:
    assert "file: gateway.toml routes[0]" in runner.invoke(app, ["routes"]).stdout
    assert "tag: service orders" in runner.invoke(app, ["services"]).stdout


@pytest.mark.usefixtures("gateway")
def test_reload_and_down(facade: FakeFacade) -> None:
    facade.needs_restart = ("gateway.workers",)
    result = runner.invoke(app, ["reload"])
    assert (result.exit_code, facade.reloads) == (0, 1)
    assert "only after a restart: gateway.workers" in result.stdout
    assert runner.invoke(app, ["down"]).exit_code == 0
    assert facade.downs == 1


@pytest.mark.usefixtures("gateway")
def test_a_refused_reload_prints_every_problem_and_exits_2(facade: FakeFacade) -> None:
    facade.reload_problems = ("gateway.toml: a is wrong", "gateway.toml: b is wrong")
    result = runner.invoke(app, ["reload"])
    assert result.exit_code == 2
    assert result.stderr.splitlines()[:2] == ["gateway.toml: a is wrong", "gateway.toml: b is wrong"]
    assert "nothing was changed" in result.stderr


@pytest.mark.usefixtures("gateway")
def test_a_gateway_that_fails_is_exit_1(facade: FakeFacade) -> None:
    facade.broken = True
    result = runner.invoke(app, ["status"])
    assert (result.exit_code, "the log says how" in result.stderr) == (1, True)


@pytest.mark.parametrize("command", ["status", "routes", "services", "reload", "down"])
def test_nobody_there_is_exit_3_and_a_sentence(command: str) -> None:
    result = runner.invoke(app, [command, "--admin", "127.0.0.1:1"])
    assert result.exit_code == 3
    assert "No gateway answers at 127.0.0.1:1 (--admin): connection refused." in result.stderr


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["status", "--interval", "0"], ["up", "-w", "0"], ["register", "x"], ["status", "x"]]
)
def test_a_wrong_command_line_is_exit_2(arguments: list[str]) -> None:
    assert runner.invoke(app, arguments).exit_code == 2


def test_check_prints_what_is_wrong_and_exits_2(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("[gateway]\nworkers = 0\nnonsense = 1\n")
    result = runner.invoke(app, ["check", "-c", str(file)])
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 2
    file.write_text("")
    assert runner.invoke(app, ["check", "-c", str(file)]).exit_code == 0


def test_register_prints_the_id_that_deregister_takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONSUL_HTTP_ADDR", raising=False)
    with ConsulServer() as consul:
        options = ["--address", "127.0.0.1", "--port", "9001", "--tag", "gw.path=/x/*", "--consul", consul.address]
        registered = runner.invoke(app, ["register", "web", *options])
        assert registered.exit_code == 0, registered.output
        monkeypatch.setenv("CONSUL_HTTP_ADDR", consul.address)
        removed = runner.invoke(app, ["deregister", registered.stdout.strip()])
        assert removed.exit_code == 0, removed.output
        again = runner.invoke(app, ["deregister", registered.stdout.strip()])
        assert again.exit_code == 1


def test_a_consul_that_is_not_there_is_a_sentence_and_exit_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    result = runner.invoke(app, ["deregister", "x", "--consul", "http://127.0.0.1:1"])
    assert result.exit_code == 1
    assert "http://127.0.0.1:1" in result.stderr


@pytest.mark.usefixtures("gateway")
def test_status_of_one_service_is_that_one_alone() -> None:
    whole, one = (
        json.loads(runner.invoke(app, ["status", "--json", *more]).stdout) for more in ([], ["--service", "users"])
    )
    assert [service["name"] for service in one["services"]] == ["users"]
    assert set(one) == set(whole)
    shown = runner.invoke(app, ["status", "--service", "users"]).stdout
    assert "users" in shown
    assert "orders" not in shown
    unknown = runner.invoke(app, ["status", "--service", "nope"])
    assert (unknown.exit_code, unknown.stderr) == (2, "There is no service 'nope'. There are: users, orders.\n")


@pytest.mark.usefixtures("gateway")
def test_plain_status_is_sentences() -> None:
    lines = runner.invoke(app, ["status", "--plain"]).stdout.splitlines()
    assert lines[0] == "Gateway edge: ready."
    assert all(line[0].isalnum() for line in lines)


def test_watching_json_is_one_object_a_line(gateway: str) -> None:
    command = [*GW, "status", "--watch", "--json", "--interval", "0.1", "--admin", gateway]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        uptimes = [json.loads(process.stdout.readline())["uptime_seconds"] for _ in range(3)]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10.0) == 0
    assert uptimes == sorted(set(uptimes))
