"""`gw check` without its command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.check import check


def test_a_right_file_is_counted(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text('[[routes]]\npath = "/"\ntarget_url = "http://127.0.0.1:1"')
    assert check(file, {}) == (0, [f"{file}: OK: 1 service, 1 route"])


def test_a_wrong_file_gives_all_of_its_problems(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text('[[routes]]\npath = "x"\ntarget_url = "https://127.0.0.1:1"')
    code, lines = check(file, {"LOG_LEVEL": "loud"})
    assert (code, len(lines)) == (2, 3)


def test_without_a_path_the_default_file_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert check(None, {}) == (2, ["gateway.toml: no such file; name an existing one with -c FILE"])
    Path("gateway.toml").touch()
    assert check(None, {}) == (0, ["gateway.toml: OK: 0 services, 0 routes"])
