"""`gw wait`: what it waits for, what it says is missing, and how it ends."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from cli.admin_client import NobodyAnswers
from cli.app import app
from cli.wait import Wanted, what_is_missing
from gateway.admin.progress import InstanceProgress, Progress, ServiceProgress, WorkerProgress
from gateway.shm import layout
from tests.backends import free_port
from tests.unit.fake_gateway import FakeFacade, served

runner = CliRunner()


def progress(*generations: int, newest: int = 9, eligible: int = 1, **changes: object) -> Progress:
    """Workers that use these generations, and one service of two instances."""
    instances = [
        InstanceProgress(address=f"10.0.0.{n}:80", eligible=n <= eligible, reason="unhealthy", detail="refused")
        for n in (1, 2)
    ]
    found = Progress(
        generation=newest,
        ready=True,
        not_ready=[],
        draining=False,
        workers=[WorkerProgress(id=n, state="serving", generation=each) for n, each in enumerate(generations)],
        service=ServiceProgress(name="users", eligible=eligible, instances=instances),
        services=["users"],
    )
    return {**found, **changes}  # type: ignore[typeddict-item]  # the keys of Progress


@pytest.mark.parametrize(
    ("found", "wanted", "missing"),
    [
        (progress(9, 9), Wanted(generation=9), []),
        (progress(9, 8), Wanted(generation=8), []),
        (
            progress(9, 8),
            Wanted(generation=9),
            ["generation 9 is not in use everywhere: worker 1 uses generation 8"],
        ),
        (
            progress(9, 0),
            Wanted(generation=10),
            [
                "generation 10 is not in use everywhere (the gateway's newest is 9): "
                "worker 0 uses generation 9, worker 1 uses none yet"
            ],
        ),
        (progress(9, 9), Wanted(), []),
        (progress(9, 9, not_ready=["worker 1 is starting"]), Wanted(), ["worker 1 is starting"]),
        (progress(9, 8), Wanted(), ["generation 9 is not in use everywhere: worker 1 uses generation 8"]),
        (progress(9, 9), Wanted(service="users"), []),
        (
            progress(9, 9),
            Wanted(service="users", healthy=2),
            [
                "service 'users' has 1 healthy of the 2 instances waited for: 10.0.0.2:80 is unhealthy (refused)",
            ],
        ),
        (
            progress(9, 9, eligible=2),
            Wanted(service="users", healthy=3),
            ["service 'users' has 2 healthy of the 3 instances waited for: it has 2 in all"],
        ),
        (  # healthy, but a worker does not know yet
            progress(9, 8),
            Wanted(service="users"),
            ["generation 9 is not in use everywhere: worker 1 uses generation 8"],
        ),
        (progress(9, service=None), Wanted(service="x"), ["there is no service 'x', there are users"]),
        (
            progress(9, service=None, services=[]),
            Wanted(service="x"),
            ["there is no service 'x', there are no services"],
        ),
    ],
)
def test_what_is_missing_is_said(found: Progress, wanted: Wanted, missing: list[str]) -> None:
    assert what_is_missing(found, wanted) == missing


def test_many_are_counted_not_listed() -> None:
    (sentence,) = what_is_missing(progress(*([1] * 40)), Wanted(generation=9))
    assert sentence.endswith("worker 9 uses generation 1 and 30 more")


@pytest.fixture
def in_use(facade: FakeFacade) -> FakeFacade:
    for row in (0, 1):
        facade.ledger.words[layout.row_word(row, layout.R_GENERATION)] = 42
    return facade


@pytest.mark.usefixtures("gateway", "in_use")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "The gateway is ready; every worker uses generation 42."),
        (["--generation", "40"], "Every worker uses generation 42."),
        (["--service", "users"], "Service users has 2 healthy instances, known to every worker."),
        (["--service", "users", "--healthy", "2", "--generation", "42"], "Service users has 2 healthy"),
    ],
)
def test_what_is_so_already_returns_at_once(arguments: list[str], said: str) -> None:
    result = runner.invoke(app, ["wait", *arguments])
    assert (result.exit_code, said in result.stdout) == (0, True), result.output
    answer = json.loads(runner.invoke(app, ["wait", *arguments, "--json"]).stdout)
    assert (answer["fulfilled"], answer["missing"], answer["progress"]["generation"]) == (True, [], 42)


@pytest.mark.usefixtures("gateway", "in_use")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--generation", "43"], "generation 43 is not in use everywhere"),
        (["--service", "users", "--healthy", "3"], "10.0.0.3:9001 is unhealthy (connection refused)"),
        (["--service", "nope"], "there is no service 'nope', there are users, orders"),
    ],
)
def test_what_does_not_come_exits_1_and_says_what_is_missing(arguments: list[str], said: str) -> None:
    result = runner.invoke(app, ["wait", *arguments, "--timeout", "0.2"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr
    assert "After 0.2 s" in result.stderr
    result = runner.invoke(app, ["wait", *arguments, "--timeout", "0.1", "--json"])
    assert (result.exit_code, json.loads(result.stdout)["fulfilled"]) == (1, False)


@pytest.mark.usefixtures("gateway")
def test_it_returns_as_soon_as_the_last_worker_has_come_so_far(facade: FakeFacade) -> None:
    words = facade.ledger.words
    words[layout.row_word(0, layout.R_GENERATION)] = 42
    asked = threading.Event()
    answer = facade.progress

    def look(service: str) -> object:
        if asked.is_set():  # the second look
            words[layout.row_word(1, layout.R_GENERATION)] = 42
        asked.set()
        return answer(service)

    facade.progress = look  # type: ignore[assignment, method-assign]
    assert runner.invoke(app, ["wait", "--generation", "42", "--timeout", "20"]).exit_code == 0
    assert asked.is_set()


def test_nobody_there_exits_3_after_the_timeout() -> None:
    result = runner.invoke(app, ["wait", "--timeout", "0.2", "--admin", f"127.0.0.1:{free_port()}"])
    assert result.exit_code == 3
    assert "No gateway answers at" in result.stderr


def test_a_gateway_that_comes_later_is_waited_for(in_use: FakeFacade, monkeypatch: pytest.MonkeyPatch) -> None:
    from cli.admin_client import AdminClient

    looks = 0
    look = AdminClient.progress

    def nobody_at_first(self: AdminClient, service: str, timeout: float) -> Progress:
        nonlocal looks
        looks += 1
        if looks < 3:
            raise NobodyAnswers("No gateway answers.")
        return look(self, service, timeout)

    monkeypatch.setattr(AdminClient, "progress", nobody_at_first)
    with served(in_use) as address:
        assert runner.invoke(app, ["wait", "--timeout", "20", "--admin", address]).exit_code == 0
    assert looks == 3


def test_a_gateway_that_fails_is_not_waited_for(facade: FakeFacade) -> None:
    facade.broken = True
    with served(facade) as address:
        assert runner.invoke(app, ["wait", "--admin", address]).exit_code == 1


def test_a_draining_gateway_is_not_ready(in_use: FakeFacade) -> None:
    in_use.present = replace(in_use.present, draining=True, ready=False, not_ready=("the gateway is draining",))
    with served(in_use) as address:
        result = runner.invoke(app, ["wait", "--timeout", "0.1", "--admin", address])
    assert (result.exit_code, "the gateway is draining" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    "arguments", [["--healthy", "2"], ["--generation", "0"], ["--timeout", "-1"], ["--generation", "x"]]
)
def test_a_wrong_command_line_exits_2(arguments: list[str]) -> None:
    assert runner.invoke(app, ["wait", *arguments]).exit_code == 2
