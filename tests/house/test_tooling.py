"""What a person runs from a clone: Makefile, CI, pre-commit, the image. Nothing here needs the network or Docker."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
SCRIPTS = [
    ROOT / ".ci" / "run",
    ROOT / "scripts" / "check",
    ROOT / "scripts" / "get_chromium.sh",
    ROOT / "scripts" / "get_consul.sh",
    ROOT / "scripts" / "get_prometheus.sh",
    ROOT / "scripts" / "test_py_consul",
]


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_executable_bash_that_stops_at_the_first_failure(script: Path) -> None:
    assert os.access(script, os.X_OK)
    text = script.read_text()
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in text
    assert run("bash", "-n", str(script)).returncode == 0


def test_ci_runs_make_test_and_nothing_after_it() -> None:
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "exec make --no-print-directory test"


@pytest.mark.parametrize("target", ["demo", "test", "check", "bench", "events", "scale", "fuzz"])
def test_a_fresh_clone_gets_its_environment_first(target: str, tmp_path: Path) -> None:
    planned = run("make", "-n", target, f"VENV={tmp_path}/venv").stdout
    steps = [f"-m venv {tmp_path}/venv", "-m pip install --quiet --editable"]
    positions = [planned.index(step) for step in steps]
    assert positions == sorted(positions)


def test_the_environment_is_renewed_only_when_pyproject_changed(tmp_path: Path) -> None:
    for stamp in (".made", ".ready-run", ".ready-test"):
        (tmp_path / stamp).touch()
    unchanged = run("make", "-n", "check", f"VENV={tmp_path}").stdout
    assert "pip install" not in unchanged
    changed = run("make", "-n", "-W", "pyproject.toml", "check", f"VENV={tmp_path}").stdout
    assert "pip install" in changed


def test_make_test_checks_first_and_ends_with_pytest(tmp_path: Path) -> None:
    planned = run("make", "-n", "test", f"VENV={tmp_path}/venv").stdout
    positions = [
        planned.index(step)
        for step in ("scripts/check", "scripts/get_consul.sh", "scripts/get_chromium.sh", "-m pytest")
    ]
    assert positions == sorted(positions)
    assert "-m pytest" in planned.strip().splitlines()[-1]


def fresh(tmp_path: Path) -> Path:
    """A folder with the Makefile, an environment that is up to date, and scripts that only say that they ran."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "pyproject.toml").touch()
    shutil.copy(ROOT / "Makefile", tmp_path)
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    for stamp in (".made", ".ready-run", ".ready-test"):
        (venv / stamp).touch()
    for file, body in {
        tmp_path / "scripts" / "check": "echo checked",
        tmp_path / "scripts" / "get_consul.sh": "echo /bin/true",
        tmp_path / "scripts" / "get_prometheus.sh": "echo /bin",
        tmp_path / "scripts" / "get_chromium.sh": "echo /bin/true",
        tmp_path / "scripts" / "test_compiled": "echo compiled",
        tmp_path / "scripts" / "test_py_consul": "echo py-consul",
        venv / "bin" / "python": 'echo "python $*"',
    }.items():
        file.write_text(f"#!/bin/sh\n{body}\n")
        file.chmod(0o755)
    return tmp_path


def test_make_test_passes_through_what_pytest_decides(tmp_path: Path) -> None:
    folder = fresh(tmp_path)
    done = run("make", "-C", str(folder), "--no-print-directory", "test")
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        ["checked", "compiled", "py-consul", "python -P -m pytest -n 2 --dist loadfile"],
    )
    (folder / ".venv" / "bin" / "python").write_text("#!/bin/sh\nexit 1\n")
    assert run("make", "-C", str(folder), "test").returncode != 0


@pytest.mark.parametrize(
    "script", ["check", "get_consul.sh", "get_prometheus.sh", "get_chromium.sh", "test_compiled", "test_py_consul"]
)
def test_make_test_fails_when_a_step_before_the_tests_fails(script: str, tmp_path: Path) -> None:
    folder = fresh(tmp_path)
    (folder / "scripts" / script).write_text("#!/bin/sh\nexit 1\n")
    done = run("make", "-C", str(folder), "--no-print-directory", "test")
    assert done.returncode != 0
    assert "pytest" not in done.stdout
    if script == "get_consul.sh":
        assert "found no Consul" in done.stderr
    if script == "get_prometheus.sh":
        assert "found no Prometheus" in done.stderr
    if script == "get_chromium.sh":
        assert "found no Chromium" in done.stderr


def test_an_old_python_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    old = tmp_path / "python-old"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = run("make", "check", f"VENV={tmp_path}/venv", f"PYTHON={old}")
    assert done.returncode != 0
    assert "CPython 3.11 or later" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_the_check_script_says_what_to_do_without_an_environment(tmp_path: Path) -> None:
    done = run("scripts/check", VENV=str(tmp_path))
    assert done.returncode == 1
    assert "make check" in done.stderr


def test_pre_commit_runs_the_same_checks() -> None:
    content = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repository in content["repos"] for hook in repository["hooks"]]
    assert [hook["entry"] for hook in hooks] == ["scripts/check"]


def test_the_image_is_built_by_the_readmes_steps_and_runs_without_root() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert any(line.startswith("RUN") and line.endswith("pip install --no-cache-dir .") for line in lines)
    assert lines[-1] == 'CMD ["gw", "up"]'
    assert lines.index("USER gw") < len(lines) - 1
    assert any(line.startswith("HEALTHCHECK") for line in lines)


def test_the_image_gets_what_the_package_needs_and_no_more() -> None:
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in rules
    allowed = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {name.split(".")[0] for name in project["tool"]["setuptools"]["packages"]}
    assert allowed - {"LICENSE"} == needed | {"pyproject.toml", "setup.py", project["project"]["readme"]}


@pytest.mark.skipif(sys.platform != "linux", reason="the load comparison reads Linux's /proc")
def test_the_benchmark_says_what_it_can_do() -> None:
    done = run(sys.executable, "-m", "benchmarks.load", "--help")
    assert done.returncode == 0
    assert all(option in done.stdout for option in ("--workloads", "--rounds", "--duration", "--peers"))


@pytest.mark.skipif(sys.platform != "linux", reason="the soak reads Linux's /proc")
def test_the_soak_says_what_it_can_do() -> None:
    done = run(sys.executable, "-m", "benchmarks.soak", "--help")
    assert done.returncode == 0
    assert all(option in done.stdout for option in ("--seconds", "--rate", "--growth", "--page"))
