"""The house keeps its own rules: what the contract promises exists, and what the design forbids does not."""

from __future__ import annotations

import importlib.util
import re
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("cli", "discovery", "gateway", "healthcheck")
LONGEST_FILE = 400  # lines
HELP_SECONDS = 0.6  # of CPU; about 0.15 s is usual

# Every command and option of the contract that exists so far. Order as in the contract.
COMMANDS = {
    "up": ["-c", "--config", "-w", "--workers", "--listen", "--admin", "--consul", "--demo"],
    "check": ["-c", "--config", "--diff", "--json", "--admin"],
    "status": ["--watch", "--service", "--plain", "--json", "--interval", "--admin"],
    "routes": ["--admin"],
    "services": ["NAME", "--history", "--json", "--admin"],
    "explain": ["METHOD", "URL", "-H", "--header", "--client", "--json", "--admin"],
    "wait": ["--generation", "--service", "--healthy", "--timeout", "--json", "--admin"],
    "why": ["REQUEST_ID", "--errors", "--last", "--json", "--admin"],
    "drain": ["SERVICE", "INSTANCE", "--wait", "--timeout", "--json", "--admin"],
    "undrain": ["SERVICE", "INSTANCE", "--json", "--admin"],
    "register": [
        "NAME",
        "--address",
        "--port",
        "--tag",
        "--weight",
        "--check-http",
        "--check-tcp",
        "--check-ttl",
        "--consul",
    ],
    "deregister": ["ID", "--consul"],
    "reload": ["--json", "--admin"],
    "down": ["--admin"],
}
HEAVY = ("consul", "httpx", "trio", "pydantic", "rich", "starlette", "hypercorn", "prometheus_client", "gateway")
NOT_IN_WORKERS = ("consul", "httpx", "typer", "rich", "pydantic", "structlog", "starlette", "gateway.supervisor")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def children_cpu() -> float:
    """Seconds of CPU of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def gw_help(*command: str) -> str:
    done = run(sys.executable, "-m", "cli.app", *command, "--help")
    assert done.returncode == 0, done.stderr
    return done.stdout


def modules_after(statement: str) -> set[str]:
    """What a fresh interpreter has imported after a statement, the working directory not on its path by itself."""
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r}); {statement}; print(*sys.modules)"
    done = run(sys.executable, "-P", "-c", script)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_help_names_every_command_and_the_version_option() -> None:
    text = gw_help()
    commands = text.partition("Commands:")[2]
    assert set(re.findall(r"^  ([a-z]+)  ", commands, re.MULTILINE)) == set(COMMANDS)
    assert "..." not in commands  # no summary is cut short
    assert "--version" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_names_its_options(command: str) -> None:
    text = gw_help(command)
    for option in COMMANDS[command]:
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", text), f"gw {command} --help does not name {option}"


def test_help_is_instant_and_imports_nothing_heavy() -> None:
    loaded = modules_after("import cli.app")
    assert [name for name in HEAVY if name in loaded] == []
    before = children_cpu()
    gw_help()
    assert children_cpu() - before < HELP_SECONDS


@pytest.mark.skipif(
    importlib.util.find_spec("gateway.worker.app") is None,
    reason="depends on gateway/worker/app.py, which is not there",
)
def test_a_worker_imports_nothing_of_the_control_plane() -> None:
    loaded = modules_after("import gateway.worker.app")
    assert [name for name in NOT_IN_WORKERS if name in loaded] == []


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {
        path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines())
        for package in (*PACKAGES, "tests")
        for path in (ROOT / package).rglob("*.py")
    }
    assert {str(path): length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_every_package_is_declared_to_be_shipped() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    found = {
        str(path.parent.relative_to(ROOT)).replace("/", ".")
        for package in PACKAGES
        for path in (ROOT / package).rglob("__init__.py")
    }
    assert set(declared) == found


def test_one_file_alone_imports_python_consul() -> None:
    pattern = re.compile(r"^\s*(?:import consul\b|from consul\b)", re.MULTILINE)
    importers = {
        str(path.relative_to(ROOT))
        for package in (*PACKAGES, "tests", "benchmarks")
        for path in (ROOT / package).rglob("*.py")
        if pattern.search(path.read_text(encoding="utf-8"))
    }
    assert importers == {"discovery/consul_sd/client.py"}


def test_imports_point_one_way() -> None:
    done = run(str(Path(sys.executable).parent / "lint-imports"), "--no-cache")
    assert done.returncode == 0, done.stdout
