"""One request id leads through all that is said of a request: answer, backend, access log, error, `gw why`."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.backends import Backend, free_port, start_backend
from tests.gateways import Answer, RunningGateway, start_gateway

CONFIG = """
[log]
access = "stdout"
[[services]]
name = "users"
balance = "round_robin"
instances = ["{url}", "http://127.0.0.1:{dead}"]
[services.health]
type = "none"
[[services]]
name = "orders"
instances = ["http://127.0.0.1:{dead}"]
[services.health]
type = "none"
[[routes]]
path = "/users/*"
service = "users"
[[routes]]
path = "/orders/{{id}}"
service = "orders"
retry_count = 1
"""


class Scene:
    """A gateway with an instance that answers and one that is not there."""

    def __init__(self, gateway: RunningGateway, backend: Backend, dead: str) -> None:
        self.gateway = gateway
        self.backend = backend
        self.dead = dead

    def ask(self, target: str, request_id: str) -> Answer:
        answer = self.gateway.get(target, {"X-Request-ID": request_id, "Cookie": "secret"})
        assert answer.headers["x-request-id"] == request_id
        return answer

    def logged(self, request_id: str) -> dict[str, Any]:
        """The request's line of the access log."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            lines = [json.loads(line) for line in list(self.gateway.access)]
            found[:] = [line for line in lines if line["request_id"] == request_id]
            return bool(found)

        self.gateway.wait_until(look)
        (line,) = found
        return line

    def why(self, request_id: str) -> dict[str, Any]:
        """The request's story."""
        path = f"/api/why?request_id={request_id}"
        self.gateway.wait_until(lambda: self.gateway.admin_get(path).status == 200)  # written when the batch ends
        answer = self.gateway.admin_get(path)
        assert b"secret" not in answer.body
        (story,) = json.loads(answer.body)["stories"]
        assert story["request_id"] == request_id
        return dict(story)

    def words(self, request_id: str) -> str:
        done = self.gateway.cli("why", request_id)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder: Path = tmp_path_factory.mktemp("why")
    with ExitStack() as stack:
        backend = stack.enter_context(start_backend("one"))
        dead = free_port()
        config = CONFIG.format(url=backend.url, dead=dead)
        gateway = stack.enter_context(start_gateway(folder, config, workers=2))
        yield Scene(gateway, backend, f"127.0.0.1:{dead}")


def test_a_success(scene: Scene) -> None:
    answers = [scene.ask(f"/users/{n}?key=secret", f"fine-{n}") for n in range(4)]
    assert {answer.status for answer in answers} == {200}
    stories = {n: scene.why(f"fine-{n}") for n in range(4)}
    n, story = next((n, each) for n, each in stories.items() if each["attempts_made"] == 1)
    forwarded = {name.lower(): value for name, value in json.loads(answers[n].body)["headers"]}
    assert forwarded["x-request-id"] == f"fine-{n}"
    line = scene.logged(f"fine-{n}")
    assert line["status"] == story["status"] == 200
    assert (story["path"], story["route"], story["service"], story["reason"]) == (
        f"/users/{n}", "/users/*", "users", "",
    )  # fmt: skip
    assert story["route_origin"].endswith("routes[0]")
    (attempt,) = story["attempts"]
    assert attempt["instance"] == line["instance"] == scene.backend.address
    assert 0.0 <= attempt["head_ms"] <= attempt["duration_ms"] <= story["duration_ms"]
    assert story["duration_ms"] == line["duration_ms"]
    words = scene.words(f"fine-{n}")
    assert "the path begins with /users/; no more specific route matched" in words
    assert "round_robin" in words


def test_a_retried_request(scene: Scene) -> None:
    found: list[str] = []

    def is_retried() -> bool:  # the dead one is left alone for a moment after each failure
        name = f"retried-{len(found)}"
        found.append(name)
        answer = scene.ask("/users/1", name)
        assert answer.status == 200
        forwarded = {name.lower(): value for name, value in json.loads(answer.body)["headers"]}
        assert forwarded["x-request-id"] == name
        return bool(scene.why(name)["attempts_made"] == 2)

    scene.gateway.wait_until(is_retried)
    story = scene.why(found[-1])
    refused, answered = story["attempts"]
    assert (refused["instance"], refused["outcome"], refused["connect_ms"]) == (scene.dead, "connect_refused", None)
    assert (answered["instance"], answered["outcome"]) == (scene.backend.address, "200")
    assert (story["status"], story["reason"]) == (200, "")
    assert scene.logged(found[-1])["status"] == 200
    assert "Nothing listens at the instance's address" in scene.words(found[-1])
    assert found[-1] in scene.gateway.cli("why", "--errors", "--last", "50").stdout


def test_a_failed_request(scene: Scene) -> None:
    answer = scene.ask("/orders/7?key=secret", "failed-1")
    body = json.loads(answer.body)
    assert (answer.status, body["request_id"], body["reason"]) == (502, "failed-1", "connect_refused")
    line = scene.logged("failed-1")
    assert (line["status"], line["reason"]) == (502, "connect_refused")
    story = scene.why("failed-1")
    assert (story["status"], story["reason"], story["route"]) == (502, "connect_refused", "/orders/{id}")
    assert [each["outcome"] for each in story["attempts"]] == ["connect_refused"] * story["attempts_made"]
    words = scene.words("failed-1")
    assert "502 connect_refused" in words
    assert "what to do" in words
    (newest, *_) = json.loads(scene.gateway.cli("why", "--errors", "--json").stdout)["stories"]
    assert newest["request_id"] == "failed-1"


def test_no_route_and_an_id_that_nobody_knows(scene: Scene) -> None:
    assert scene.ask("/nowhere", "lost-1").status == 404
    assert scene.why("lost-1")["reason"] == "no_route"
    unknown = scene.gateway.cli("why", "never-sent")
    assert unknown.returncode == 1
    assert "No worker remembers a request never-sent" in unknown.stderr


def test_what_a_dead_worker_knew_is_still_told(scene: Scene) -> None:
    scene.ask("/orders/8", "failed-2")
    worker = scene.why("failed-2")["worker"]
    (victim,) = [each for each in scene.gateway.status()["workers"] if each["id"] == worker]
    os.kill(victim["pid"], signal.SIGKILL)

    def is_replaced() -> bool:
        (now,) = [each for each in scene.gateway.status()["workers"] if each["id"] == worker]
        return bool(now["pid"] != victim["pid"] and now["state"] == "serving")

    scene.gateway.wait_until(is_replaced)
    assert scene.why("failed-2")["worker"] == worker
