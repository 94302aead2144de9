"""Coverage-guided fuzzing: `python -m fuzz [TARGET]...`, each target in a process of its own for FUZZ_SECONDS (60).

A target is a module `fuzz.fuzz_NAME` with `one_input(data)`, which raises if what it is there to find has been found.
Inputs begin with the corpora of the tests and with fuzz/corpus/NAME; those that reach new code are kept in
.cache/fuzz/NAME for the next run. An input that fails is written to .cache/fuzz/NAME-crash-..., and
`python -m fuzz NAME FILE` runs it again.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import atheris

ROOT: Final = Path(__file__).parents[1]
KEPT: Final = ROOT / ".cache" / "fuzz"
SEEDS: Final = {"request": "tests/corpus/request", "response": "tests/corpus/response"}
TARGETS: Final = ("request", "response", "proxy", "proxy_protocol")
LONGEST: Final = {"request": 4096, "response": 4096, "proxy": 256, "proxy_protocol": 256}  # bytes of an input
SLOWEST: Final = 10  # seconds; an input that takes longer is a finding


def run(target: str, arguments: list[str]) -> None:
    """Fuzz one target in this process; ends the process."""
    with atheris.instrument_imports(include=["gateway"]):
        one_input = importlib.import_module(f"fuzz.fuzz_{target}").one_input
    kept = KEPT / target
    kept.mkdir(parents=True, exist_ok=True)
    folders = [kept, ROOT / "fuzz" / "corpus" / target]
    if target in SEEDS:
        folders += sorted(each for each in (ROOT / SEEDS[target]).glob("*/") if each.is_dir())
    options = [
        f"-max_total_time={os.environ.get('FUZZ_SECONDS', '60')}",
        f"-artifact_prefix={KEPT}/{target}-",
        f"-max_len={LONGEST[target]}",
        "-len_control=0",
        f"-timeout={SLOWEST}",
        f"-dict={ROOT}/fuzz/http.dict",
        *(str(each) for each in folders if each.is_dir()),
    ]
    atheris.Setup([sys.argv[0], *(arguments or options)], one_input)
    atheris.Fuzz()


def main(names: list[str]) -> int:
    """Run the targets named, or all; 0 if none of them found anything."""
    if names and names[0] in TARGETS and (len(names) == 1 or names[1] not in TARGETS):
        run(names[0], names[1:])
    for name in names or TARGETS:
        print(f"== {name}", flush=True)
        done = subprocess.run([sys.executable, "-m", "fuzz", name], cwd=ROOT, check=False)
        if done.returncode:
            print(f"fuzz: {name} found something; see above, and {KEPT}/{name}-*", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
