"""The token of the settings, and one in a file that changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from discovery.consul_sd.errors import Forbidden
from discovery.consul_sd.token import Token
from discovery.settings import ConsulSettings


def test_the_settings_token_is_what_it_is() -> None:
    token = Token(ConsulSettings(token="abc"))
    assert token.current() == "abc"
    assert not token.renew()
    assert Token(ConsulSettings()).current() == ""


def test_a_file_is_read_again_when_it_changed(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    token = Token(ConsulSettings(token_file=str(file)))
    assert token.current() == "first"
    (tmp_path / "new").write_text("second-one")
    (tmp_path / "new").replace(file)
    assert token.current() == "second-one"


def test_a_refused_token_is_read_again_whatever_the_files_time_says(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first")
    token = Token(ConsulSettings(token_file=str(file)))
    assert token.current() == "first"
    stat = file.stat()
    file.write_text("other")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert token.current() == "first"
    assert token.renew()
    assert token.current() == "other"
    assert not token.renew()


@pytest.mark.parametrize("content", [None, b"", b" \n", b"two words", b"\xff"])
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Forbidden, match=r"consul\.token_file .*/token: (No such file|must hold one token)"):
        Token(ConsulSettings(token_file=str(file))).current()
