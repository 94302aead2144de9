"""`gw up` that cannot start: what it says, and its exit code."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def gw_up(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-P", "-m", "cli.app", "up", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_bad_configuration_exits_2_and_every_problem_is_named(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(
        '[gateway]\nworkers = "many"\n[[routes]]\npath = "/users/*"\nservice = "users"\n'
    )
    ended = gw_up(tmp_path)
    assert ended.returncode == 2
    assert "gateway.toml" in ended.stderr
    assert "workers" in ended.stderr
    assert "users" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_missing_file_exits_2(tmp_path: Path) -> None:
    ended = gw_up(tmp_path, "-c", "absent.toml")
    assert ended.returncode == 2
    assert "absent.toml" in ended.stderr


def test_the_demo_brings_its_own_file(tmp_path: Path) -> None:
    ended = gw_up(tmp_path, "--demo", "-c", "gateway.toml")
    assert ended.returncode == 2
    assert "leave out either" in ended.stderr


@pytest.mark.parametrize("flag", ["--listen", "--admin"])
def test_a_port_in_use_exits_1_and_is_named(tmp_path: Path, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        others = {"--listen": "127.0.0.1:0", "--admin": "127.0.0.1:0", flag: address}
        ended = gw_up(tmp_path, *(word for pair in others.items() for word in pair), "-w", "1")
    assert ended.returncode == 1
    assert address in ended.stderr
    assert "Traceback" not in ended.stderr
