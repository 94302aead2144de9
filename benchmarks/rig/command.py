"""What the commands of the benchmarks have in common: options, a folder for the run, the figures' file."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from benchmarks.load.__main__ import names, positive
from benchmarks.load.processes import raise_file_limit
from benchmarks.rig.about import RAW, program
from benchmarks.rig.children import Stuck, end_by_signal
from benchmarks.rig.consul import ConsulRefused

T = TypeVar("T")


def parser(name: str, description: str | None, parts: Sequence[str], page: Path) -> argparse.ArgumentParser:
    """A parser with the options that every such command has; `parts` is what --only chooses from."""
    made = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    made.add_argument("--only", help=f"some of {','.join(parts)}")
    made.add_argument(
        "--gw", type=program, default=str(Path(sys.executable).with_name("gw")), help="the gateway's program"
    )
    made.add_argument("--workers", type=positive, default=4)
    made.add_argument("--page", action="store_true", help=f"also write {page.parent.name}/{page.name}")
    made.add_argument("--keep", action="store_true", help="keep the folder with all logs")
    return made


def chosen(parts: Sequence[str], only: str | None) -> tuple[str, ...]:
    """What --only asks for. Raises ValueError that lists what there is."""
    return tuple(parts) if only is None else names(tuple(parts), only)


@contextmanager
def folder_of(name: str, *, keep: bool) -> Iterator[Path]:
    """The run's folder, gone afterwards unless it is to be kept. SIGTERM ends the run as Ctrl-C does."""
    raise_file_limit()
    end_by_signal()
    folder = Path(tempfile.mkdtemp(prefix=f"gw-{name}-"))
    try:
        yield folder
    finally:
        if keep:
            print(f"logs: {folder}")
        else:
            shutil.rmtree(folder)


def play(
    parts: Sequence[str], folder: Path, run: Callable[[str, Path], T], show: Callable[[T, float], None]
) -> list[str]:
    """Run the parts in turn, each in a folder of its own, and show what each came to and its seconds; returns those
    that failed, once that was said."""
    failed = []
    for name in parts:
        place = folder / name
        place.mkdir()
        began = time.monotonic()
        try:
            found = run(name, place)
        except (Stuck, ConsulRefused, OSError) as error:
            failed.append(name)
            print(f"{name}: {error}", flush=True)
        else:
            show(found, time.monotonic() - began)
    return failed


def tell(title: str, seconds: float, headings: Sequence[str], cells: Sequence[str], remarks: Sequence[str]) -> None:
    """One row of a page, as a line of the terminal, with its remarks below."""
    words = (f"{heading} {cell}" for heading, cell in zip(headings, cells, strict=True))
    print(f"{title} ({seconds:.0f} s): {'; '.join(words)}", flush=True)
    for each in remarks:
        print(f"    {each}", flush=True)


def save_raw(name: str, content: Mapping[str, object]) -> Path:
    """For --render, or anything else that reads JSON."""
    RAW.mkdir(parents=True, exist_ok=True)
    file = RAW / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    file.write_text(json.dumps(content, indent=1))
    print(f"raw figures: {file}")
    return file
