"""`benchmarks.load.bare`: what it leaves out is there to be left out."""

from __future__ import annotations

from pathlib import Path

from benchmarks.load.bare import LEFT_OUT, ROOT, copy_bare


def test_the_copy_lacks_the_lines_and_nothing_else(tmp_path: Path) -> None:
    copy_bare(tmp_path / "bare")
    for name, lines in LEFT_OUT.items():
        whole, bare = ((folder / name).read_text().splitlines(keepends=True) for folder in (ROOT, tmp_path / "bare"))
        assert [line for line in whole if line not in lines] == bare
    assert (tmp_path / "bare/gateway/proxy/exchange.py").read_text() == (ROOT / "gateway/proxy/exchange.py").read_text()
