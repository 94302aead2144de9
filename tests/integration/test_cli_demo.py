"""What `gw up --demo` brings along: backends that answer, a configuration that names them, nothing left behind."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tomllib

import pytest

from cli.demo import SCRIPT, Demo
from tests.backends import wait_until


def get(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_three_backends_answer_and_the_configuration_names_them() -> None:
    with Demo() as demo:
        config = tomllib.loads(demo.config_toml)
        assert tomllib.loads(demo.config_path.read_text()) == config
        ports = [instance.port for instance in demo.instances]
        [service] = config["services"]
        assert service["instances"] == [f"http://127.0.0.1:{port}" for port in ports]
        assert config["routes"] == [{"path": "/*", "service": service["name"]}]
        names = []
        for port in ports:
            assert get(port, service["health"]["path"])[0] == 200
            status, body = get(port, "/hello?x=1")
            answer = json.loads(body)
            assert (status, answer["service"], answer["path"]) == (200, "demo", "/hello?x=1")
            assert get(port, "/", "HEAD") == (200, b"")
            names.append(answer["instance"])
        assert names == ["fast-1", "fast-2", "slow-1"]
        hint = demo.hint("0.0.0.0:8080")
        assert "curl -i http://127.0.0.1:8080/" in hint
        assert all(str(instance.process.pid) in hint for instance in demo.instances)


def test_closing_leaves_nothing_whatever_was_done_to_the_backends() -> None:
    with Demo() as demo:
        processes = [instance.process for instance in demo.instances]
        path = demo.config_path
        os.kill(processes[0].pid, signal.SIGSTOP)
        os.kill(processes[1].pid, signal.SIGKILL)
    assert all(process.returncode is not None for process in processes)
    assert not path.exists()


def test_a_killed_backend_starts_again_on_its_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.demo.RESTART_AFTER", 0.1)
    with Demo() as demo:
        first = demo.instances[0]
        killed = first.process
        killed.kill()
        wait_until(lambda: first.process is not killed, what="another process")
        wait_until(lambda: answers(first.port), what="an answer on the same port")


def answers(port: int) -> bool:
    try:
        return get(port, "/health")[0] == 200
    except OSError:
        return False


def test_a_backend_ends_when_its_standard_input_does() -> None:
    with subprocess.Popen(
        [sys.executable, "-P", str(SCRIPT), "--name", "alone"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert get(int(process.stdout.readline()), "/health")[0] == 200
        process.stdin.close()
        wait_until(lambda: process.poll() is not None, what="the end of the backend")
    assert process.returncode == 0
