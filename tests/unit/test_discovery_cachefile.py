"""The file that outlives the gateway: whole or not at all, and refused when it is not what it should be."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import trio

from discovery import cachefile
from discovery.cachefile import CacheError, CacheWriter, default_path, load, save
from discovery.consul_sd.decode import Registration
from discovery.consul_sd.saved import SavedKeys, SavedService, SavedView, decode
from discovery.model import Instance, Origin, OriginKind, Problem, RouteSpec, Standing
from discovery.source import TaggedService

TAG = Origin(OriginKind.TAG, "service web, instance web-1, tag gw.path=/web/*")
WEB = SavedService(
    (Registration("n1", Instance("10.0.0.1", 80, 3, Standing.CRITICAL, "down", "web-1"), ("gw.path=/web/*",)),),
    TaggedService(
        "consul",
        "web",
        (RouteSpec("/web/*", "web", TAG, methods=("GET",), headers=(("X-A", "b"),)),),
        (("balance", "weighted"),),
        (Problem(TAG, "no"),),
    ),
)
KEYS = SavedKeys.of("gw/", [("gw/routes/a", b"path = '/a'"), ("gw/routes/b", b"\xff\x00")])
VIEW = SavedView("http://c:8500", "dc1", 7.5, {"web": WEB, "gone": SavedService((), None)}, KEYS)


def test_a_view_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "view"
    save(path, VIEW.encode())
    body = load(path)
    assert body is not None
    assert decode(body, "http://c:8500", "dc1") == VIEW
    assert KEYS.decoded() == {"gw/routes/a": b"path = '/a'", "gw/routes/b": b"\xff\x00"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["view"]


def test_no_file_is_no_error(tmp_path: Path) -> None:
    assert load(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda content: b"hello", "it is not a gw-discovery file of version 1"),
        (
            lambda content: content.replace(b"discovery 1 ", b"discovery 2 "),
            "it is not a gw-discovery file of version 1",
        ),
        (lambda content: content[:-1], "its checksum is wrong"),
        (lambda content: content.replace(b"10.0.0.1", b"10.0.0.2"), "its checksum is wrong"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, spoil: Callable[[bytes], bytes], sentence: str) -> None:
    path = tmp_path / "view"
    save(path, VIEW.encode())
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(CacheError, match=sentence):
        load(path)


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="it cannot be read: Is a directory"):
        load(tmp_path)


def test_what_another_consul_said_is_refused() -> None:
    with pytest.raises(CacheError, match="another Consul said, http://c:8500, datacenter dc1"):
        decode(VIEW.encode(), "http://d:8500", "dc1")
    with pytest.raises(CacheError, match=r"not understood: services\.web\.tagged"):
        decode(VIEW.encode().replace(b'"tagged":{', b'"tagged":{"x":1,', 1).replace(b'"routes"', b'"r"'), "", "")


def test_the_default_place_is_one_for_each_gateway_and_consul(tmp_path: Path) -> None:
    first = default_path({"XDG_STATE_HOME": "/s"}, "my edge/1", "http://c:8500", "")
    assert str(first.parent) == "/s/gw"
    assert first.name.startswith("my_edge_1-")
    assert first != default_path({"XDG_STATE_HOME": "/s"}, "my edge/1", "http://d:8500", "")
    assert default_path({"STATE_DIRECTORY": "/var/lib/gw:/b", "XDG_STATE_HOME": "/s"}, "e").parent == Path(
        "/var/lib/gw"
    )
    assert default_path({}, "e").parent == Path.home() / ".local/state/gw"


async def test_changes_share_a_write_and_times_alone_wait(
    tmp_path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cachefile, "SHORTEST", 0.1)
    monkeypatch.setattr(cachefile, "LONGEST", 0.5)
    path, writes = tmp_path / "view", list[float]()

    def snapshot() -> Callable[[], bytes]:
        writes.append(trio.current_time())
        return lambda: b"%d" % len(writes)

    writer = CacheWriter(lambda: path, snapshot)
    nursery.start_soon(writer.run)
    for _ in range(30):
        await trio.sleep(0.01)
        writer.note(is_news=True)
    noted = trio.current_time()
    assert 1 <= len(writes) <= 4
    assert all(after - before >= 0.1 for before, after in pairwise(writes))
    with trio.fail_after(20.0):
        while writes[-1] < noted:  # the last of the notes
            await trio.sleep(0.01)
    await until_written(path, writes)
    count = len(writes)
    writer.note(is_news=False)
    while len(writes) == count:
        await trio.sleep(0.01)
    assert writes[-1] - writes[-2] >= 0.5  # with the next look, not at once
    await until_written(path, writes)


async def test_a_large_view_is_written_less_often(
    tmp_path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cachefile, "SHORTEST", 0.01)
    monkeypatch.setattr(cachefile, "SHARE", 0.1)
    writes = list[float]()

    def encode() -> bytes:
        began = time.thread_time()
        while time.thread_time() - began < 0.03:
            pass
        return b"large"

    def snapshot() -> Callable[[], bytes]:
        writes.append(trio.current_time())
        return encode

    writer = CacheWriter(lambda: tmp_path / "view", snapshot)
    nursery.start_soon(writer.run)
    with trio.fail_after(20.0):
        while len(writes) < 3:
            writer.note(is_news=True)
            await trio.sleep(0.01)
    assert all(after - before >= 0.3 for before, after in pairwise(writes))  # 0.03 s of CPU at a tenth of a core


async def until_written(path: Path, writes: list[float]) -> None:
    """The file holds the newest of the views, which say how many there have been."""
    with trio.fail_after(20.0):
        while load(path) != b"%d" % len(writes):
            await trio.sleep(0.01)


async def test_the_last_change_is_written_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "view"
    async with trio.open_nursery() as nursery:
        writer = CacheWriter(lambda: path, lambda: VIEW.encode)
        nursery.start_soon(writer.run)
        await trio.testing.wait_all_tasks_blocked()
        writer.note(is_news=False)
        nursery.cancel_scope.cancel()
    assert load(path) == VIEW.encode()


async def test_a_place_that_cannot_be_written_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cachefile, "SHORTEST", 0.01)
    (tmp_path / "file").touch()
    tries: list[None] = []

    def snapshot() -> Callable[[], bytes]:
        tries.append(None)
        return VIEW.encode

    writer = CacheWriter(lambda: tmp_path / "file" / "view", snapshot)
    nursery.start_soon(writer.run)
    while len(tries) < 3:
        writer.note(is_news=True)
        await trio.sleep(0.01)
    assert capsys.readouterr().out.count("cannot be saved") == 1
