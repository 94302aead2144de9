"""`gw explain` and `gw check --diff`, from their options to their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app
from cli.check import diff_lines
from gateway.config.diff import Diff
from tests.backends import free_port
from tests.unit.fake_gateway import FakeFacade

runner = CliRunner()


@pytest.mark.usefixtures("gateway")
def test_a_request_is_explained_to_people() -> None:
    result = runner.invoke(app, ["explain", "GET", "http://a.example/users/7", "-H", "Accept: */*"])
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[:2] == ["GET /users/7 for a.example from 127.0.0.1 (client assumed)", "-> forwarded to service users"]
    assert "10.0.0.1:80 no by load 1 0 draining" not in lines
    assert "10.0.0.1:80 no 0% 1 0 draining" in lines
    assert "10.0.0.2:80 yes 100% 1 0 eligible" in lines
    assert "* /* users the most specific pattern (prefix) that matches" in lines
    assert "\x1b" not in result.stdout


@pytest.mark.usefixtures("gateway")
@pytest.mark.parametrize("columns", ["40", "60", "80"])
def test_a_narrow_window_is_kept_to(monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    result = runner.invoke(app, ["explain", "GET", "/users/7", "-H", "Accept: */*"])
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= int(columns)


@pytest.mark.usefixtures("gateway")
def test_json_is_what_the_interface_answers() -> None:
    told = json.loads(runner.invoke(app, ["explain", "GET", "/x", "--client", "192.0.2.7", "--json"]).stdout)
    assert (told["outcome"], told["client"], told["client_assumed"]) == ("forwarded", "192.0.2.7", False)


@pytest.mark.usefixtures("gateway")
def test_what_is_answered_by_the_gateway_itself() -> None:
    result = runner.invoke(app, ["explain", "GET", "/health"])
    assert (result.exit_code, "-> 200 OK: a path of the gateway's own" in result.stdout) == (0, True)


@pytest.mark.usefixtures("gateway")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["GET", "nonsense"], "neither a path"),
        (["GET", "/", "-H", "nonsense"], "has no colon"),
        (["GET", "/", "-H", "Host: a", "-H", "Host: b"], "Host is repeated"),
        (["GE T", "/"], "is not a method"),
        (["GET", "/", "--client", "me"], "is not the IP address"),
        (["GET"], "URL"),
    ],
)
def test_what_is_no_request_exits_2_with_a_sentence(arguments: list[str], said: str) -> None:
    result = runner.invoke(app, ["explain", *arguments])
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_a_gateway_that_fails_is_exit_1(gateway: str, facade: FakeFacade, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(_self: FakeFacade, _asked: object) -> object:
        raise RuntimeError("made to fail")

    monkeypatch.setattr(FakeFacade, "explain", fails)
    assert runner.invoke(app, ["explain", "GET", "/", "--admin", gateway]).exit_code == 1


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "gateway.toml"
    path.write_text("[limits]\nheaders = 50\n[gateway]\nadmin = '127.0.0.1:1'\n")
    return str(path)


@pytest.mark.usefixtures("gateway")
def test_the_difference_to_the_running_gateway(file: str) -> None:
    result = runner.invoke(app, ["check", "-c", file, "--diff"])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].endswith("gateway.toml: OK: 0 services, 0 routes")
    assert "  ~ limits.headers: 100 -> 50" in result.stdout.splitlines()
    assert '  ~ gateway.admin: "127.0.0.1:9901" -> "127.0.0.1:1" (needs a restart)' in result.stdout.splitlines()
    assert result.stdout.endswith("2 differences; a reload puts all but gateway.admin in force.\n")
    answer = json.loads(runner.invoke(app, ["check", "-c", file, "--diff", "--json"]).stdout)
    assert (answer["valid"], [each["key"] for each in answer["diff"]["settings"]]) == (
        True,
        ["gateway.admin", "limits.headers"],
    )


@pytest.mark.usefixtures("gateway")
def test_no_difference_is_said_as_well(file: str) -> None:
    Path(file).write_text("")
    result = runner.invoke(app, ["check", "-c", file, "--diff"])
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "Nothing would change.")


def test_a_bad_file_exits_2_before_anybody_is_asked(file: str) -> None:
    Path(file).write_text("[limits]\nheaders = 0\n")
    nobody = ["--admin", f"127.0.0.1:{free_port()}"]
    result = runner.invoke(app, ["check", "-c", file, "--diff", *nobody])
    assert (result.exit_code, result.stdout, "limits.headers" in result.stderr) == (2, "", True)
    result = runner.invoke(app, ["check", "-c", file, "--diff", "--json", *nobody])
    assert (result.exit_code, json.loads(result.stdout)["valid"]) == (2, False)


def test_nobody_there_exits_3(file: str) -> None:
    nobody = ["--admin", f"127.0.0.1:{free_port()}"]
    assert runner.invoke(app, ["check", "-c", file, "--diff", *nobody]).exit_code == 3
    assert runner.invoke(app, ["explain", "GET", "/", *nobody]).exit_code == 3
    assert runner.invoke(app, ["check", "-c", file, *nobody]).exit_code == 0


def test_every_kind_of_difference_has_its_line() -> None:
    found = Diff(
        identical=False,
        services=[
            {"name": "new", "change": "added", "keys": []},
            {
                "name": "users",
                "change": "changed",
                "keys": [
                    {"key": "instances.10.0.0.1:80", "old": None, "new": 1},
                    {"key": "instances.10.0.0.2:80", "old": 2, "new": None},
                    {"key": "balance", "old": "random", "new": "hash"},
                ],
            },
        ],
        routes=[{"name": "/old", "change": "removed", "keys": []}],
        settings=[{"key": "consul.address", "old": None, "new": "http://x", "needs_restart": False}],
        fixed=[{"key": "gateway.workers", "given_by": "--workers", "running": 2, "file": 3}],
    )
    assert diff_lines(found) == [
        "  + service new",
        "  ~ service users",
        "      + instances.10.0.0.1:80 = 1",
        "      - instances.10.0.0.2:80 = 2",
        '      ~ balance: "random" -> "hash"',
        "  - route /old",
        '  ~ consul.address: nothing -> "http://x"',
        "  = gateway.workers stays 2, given by --workers",
        "4 differences; a reload puts all of it in force.",
    ]


@pytest.mark.usefixtures("gateway")
@pytest.mark.parametrize("command", [["drain", "users", "10.0.0.1:9001"], ["undrain", "users", "10.0.0.1:9001"]])
def test_drains_are_json_as_well(command: list[str]) -> None:
    answer = json.loads(runner.invoke(app, [*command, "--json"]).stdout)
    assert (answer["instance"], answer["draining"]) == ("10.0.0.1:9001", command[0] == "drain")


@pytest.mark.usefixtures("gateway")
def test_what_is_left_of_a_drain_is_in_its_json() -> None:
    result = runner.invoke(app, ["drain", "users", "10.0.0.1:9001", "--wait", "--json"])
    assert (result.exit_code, json.loads(result.stdout)["requests_left"]) == (0, 0)


@pytest.mark.usefixtures("gateway")
def test_a_reload_is_json_as_well(facade: FakeFacade) -> None:
    facade.needs_restart = ("gateway.workers",)
    answer = json.loads(runner.invoke(app, ["reload", "--json"]).stdout)
    assert (answer["generation"], answer["needs_restart"]) == (42, ["gateway.workers"])
    facade.reload_problems = ("a is wrong",)
    result = runner.invoke(app, ["reload", "--json"])
    assert (result.exit_code, json.loads(result.stdout)["problems"]) == (2, ["a is wrong"])
