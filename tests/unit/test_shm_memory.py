"""Sealed anonymous memory, shared by descriptor."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.shm.memory import attach, create


def test_a_store_through_one_map_is_seen_through_another() -> None:
    fd = create("test", 4096)
    writer, reader = attach(fd, writable=True), attach(fd, writable=False)
    os.close(fd)
    writer[10:13] = b"abc"
    assert reader[10:13] == b"abc"
    assert len(reader) == 4096


def test_a_read_only_map_refuses_stores() -> None:
    fd = create("test", 4096)
    reader = attach(fd, writable=False)
    os.close(fd)
    with pytest.raises(TypeError):
        reader[0:1] = b"x"
    assert memoryview(reader).readonly


@pytest.mark.parametrize("size", [0, 100, 8192])
def test_the_size_is_sealed(size: int) -> None:
    fd = create("test", 4096)
    try:
        with pytest.raises(PermissionError):
            os.ftruncate(fd, size)
        with pytest.raises(PermissionError):
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    finally:
        os.close(fd)


def test_the_descriptor_is_closed_on_exec_unless_passed_on() -> None:
    fd = create("test", 4096)
    attach(fd, writable=True)[:4] = b"word"
    code = f"import os; print(os.pread({fd}, 4, 0).decode())"
    try:
        kept = subprocess.run([sys.executable, "-c", code], pass_fds=[fd], capture_output=True, text=True, check=True)
        assert kept.stdout == "word\n"
        lost = subprocess.run(
            [sys.executable, "-c", code], close_fds=False, capture_output=True, text=True, check=False
        )
        assert "Bad file descriptor" in lost.stderr
    finally:
        os.close(fd)


def test_a_size_that_cannot_be_leaves_no_descriptor_behind() -> None:
    before = set(Path("/proc/self/fd").iterdir())
    with pytest.raises(OSError, match="Invalid argument"):
        create("test", -1)
    assert set(Path("/proc/self/fd").iterdir()) == before
