"""A copy of the source that remembers nothing of requests: what counters and `gw why` cost is the difference to it.

Run: python -m benchmarks.load.bare FOLDER, then `pip install FOLDER`; `make cost` does, and compares the two.

No option of gw switches them off, as `gw status`, /metrics and `gw why` would be empty. So the lines that call them are
left out of a copy; a line that is not there any more is an error, not a comparison of a thing with itself.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PARTS: Final = ("cli", "discovery", "gateway", "healthcheck", "pyproject.toml", "setup.py", "README.md", "LICENSE")
LEFT_OUT: Final = {
    "gateway/proxy/attempts.py": ("    ctx.counts.attempt(instance)\n",),
    "gateway/proxy/account.py": (
        "        ctx.counts.response(instance, seconds, ok=True)\n",
        "    ctx.counts.request(exchange.route.cell, exchange.status, ctx.now - exchange.started)\n",
        "    ctx.stories.exchange(exchange)\n",
    ),
}


def copy_bare(folder: Path) -> None:
    """Writes the copy. Raises ValueError when a line to be left out is not where it was, or is there twice."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / part)
    for name, lines in LEFT_OUT.items():
        text = (folder / name).read_text()
        for line in lines:
            if text.count(line) != 1:
                raise ValueError(f"{name} does not have this line once: {line.strip()}")
            text = text.replace(line, "")
        (folder / name).write_text(text)


def main() -> int:
    """Exit code: 0; 2 without a folder."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    copy_bare(Path(sys.argv[1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
